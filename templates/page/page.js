// Brings the page up to date without moving it. Without scripts, the page reloads itself.
"use strict";
async function renew() {
  const active = document.activeElement;
  if (document.hidden || (active && active.closest("form"))) return;
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const now = document.querySelector("main");
  const next = fresh.querySelector("main");
  if (!next || now.innerHTML === next.innerHTML) return;
  const places = [...now.querySelectorAll(".scroll, .log")].map((e) => [e.scrollLeft, e.scrollTop]);
  now.replaceWith(next);
  next.querySelectorAll(".scroll, .log").forEach((e, i) => {
    if (places[i]) [e.scrollLeft, e.scrollTop] = places[i];
  });
}
setInterval(() => renew().catch(() => {}), 3000);

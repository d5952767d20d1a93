// Keeps what is shown up to date, and hears the keys. Without it the page is the same, as it was when it was loaded.
"use strict";

const attempts = document.getElementById("attempts");
const glance = document.getElementById("glance");
const root = document.body.dataset.root;
const live = document.getElementById("live");

function link(path, id) {
  const a = document.createElement("a");
  a.href = path + encodeURIComponent(id);
  a.textContent = id;
  return a;
}

function cell(content, className) {
  const td = document.createElement("td");
  td.append(content);
  if (className) td.className = className;
  return td;
}

function show(one) {
  const row = document.createElement("tr");
  row.className = "new";
  const again = one.attempt > 1 ? " attempt " + one.attempt : "";
  const delivery = link(root + "/deliveries/", one.delivery);
  delivery.className = "id";
  row.append(
    cell(one.at.split(".")[0].replace("T", " ")),
    cell(one.event),
    cell(link(root + "/hooks/", one.hook)),
    cell(one.answer + again, one.delivered ? "good" : "bad"),
    cell(one.took_ms.toFixed(1) + " ms"),
    cell(delivery),
  );
  attempts.prepend(row);
  while (attempts.rows.length > 50) attempts.lastElementChild.remove();
  const none = document.getElementById("none");
  if (none) none.remove();
}

// Whoever is at a link of a part must not lose it.
function hasFocus(part) {
  return part.contains(document.activeElement);
}

// A part that changes by itself names where it is to be loaded from, for as long as it does, and how often.
async function follow(part) {
  while (part && part.dataset.from) {
    const pause = Number(part.dataset.every || 1) * 1000;
    await new Promise((done) => setTimeout(done, pause));
    if (document.hidden || hasFocus(part)) continue;
    const answer = await fetch(part.dataset.from).catch(() => null);
    // Logged out.
    if (answer && answer.redirected) return location.reload();
    if (!answer || !answer.ok) continue;
    const inside = document.createElement("template");
    inside.innerHTML = await answer.text();
    part.replaceWith(inside.content);
    part = document.querySelector("[data-from]");
  }
}
follow(document.querySelector("[data-from]"));

// The key / leads to the search, and Escape out of a field.
document.addEventListener("keydown", (event) => {
  const inField = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && inField) {
    event.target.blur();
  } else if (event.key === "/" && !inField && !event.ctrlKey && !event.altKey && !event.metaKey) {
    const search = document.getElementById("search");
    if (!search) return;
    event.preventDefault();
    search.focus();
    search.select();
  }
});

if (attempts && glance && window.EventSource) {
  const stream = new EventSource(root + "/live");
  stream.addEventListener("open", () => { live.textContent = "live"; });
  stream.addEventListener("error", () => { live.textContent = "not live just now"; });
  // Whoever is logged out, in this window or in another, is sent to the login page.
  stream.addEventListener("end", () => { stream.close(); location.reload(); });
  stream.addEventListener("attempt", (event) => show(JSON.parse(event.data)));
  stream.addEventListener("glance", async () => {
    const answer = await fetch(root + "/glance");
    const figures = answer.ok && !answer.redirected ? await answer.text() : "";
    if (figures && !hasFocus(glance)) glance.innerHTML = figures;
  });
}

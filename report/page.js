"use strict";
document.documentElement.classList.add("js");
const all = (what, root = document) => [...root.querySelectorAll(what)];

// Tables: the rows behind "more" join the first ones, to be found and sorted with them.
for (const box of all(".listed")) {
  const body = box.querySelector("tbody");
  for (const details of all("details", box)) {
    for (const row of all("tbody tr", details)) { row.classList.add("rest"); body.append(row); }
    details.remove();
  }
  const rows = all("tr", body), find = box.querySelector("input"), more = box.querySelector("button.more");
  const show = () => {
    const text = find.value.trim().toLowerCase();
    for (const row of rows) row.hidden = text ? !row.textContent.toLowerCase().includes(text) : row.classList.contains("rest") && !box.classList.contains("open");
  };
  find.addEventListener("input", show);
  if (more) more.addEventListener("click", () => { box.classList.add("open"); more.remove(); show(); });
  all("th", box).forEach((head, column) => {
    let down = false;
    head.addEventListener("click", () => {
      down = !down;
      const value = row => { const cell = row.cells[column]; return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v); };
      rows.sort((a, b) => { const x = value(a), y = value(b); return (typeof x === "number" ? x - y : x.localeCompare(y)) * (down ? 1 : -1); });
      body.append(...rows);
    });
  });
  show();
}

// The picture of the network.
const picture = document.getElementById("picture");
if (picture) {
  const width = picture.width.baseVal.value, height = picture.height.baseVal.value, frame = picture.parentElement;
  let zoom = 1;
  const set = z => { zoom = Math.min(4, Math.max(0.05, z)); picture.setAttribute("width", width * zoom); picture.setAttribute("height", height * zoom); };
  const act = { in: () => set(zoom * 1.25), out: () => set(zoom / 1.25), fit: () => set(Math.min(frame.clientWidth / width, frame.clientHeight / height)), full: () => set(1) };
  for (const button of all("[data-zoom]")) button.addEventListener("click", () => act[button.dataset.zoom]());
  frame.addEventListener("wheel", e => { if (e.ctrlKey) { e.preventDefault(); set(zoom * Math.exp(-e.deltaY / 300)); } }, { passive: false });
  const find = document.querySelector("#layers input");
  for (const node of all(".node", picture)) node.addEventListener("click", () => {
    if (find) { find.value = node.dataset.node; find.dispatchEvent(new Event("input")); find.scrollIntoView({ block: "center" }); }
  });
}

// Commands.
for (const box of all(".command")) {
  const button = document.createElement("button");
  button.textContent = "copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(box.querySelector("code").textContent);
    button.textContent = "copied";
  });
  box.append(button);
}

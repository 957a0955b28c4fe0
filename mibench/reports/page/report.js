"use strict";

// Sorting: a button in each header; numbers as numbers, what is missing last either way.
function sortKey(row, column) {
  const cell = row.cells[column];
  if (!cell.classList.contains("number")) return cell.textContent.trim();
  return "value" in cell.dataset ? Number(cell.dataset.value.replace("inf", "Infinity")) : null;
}

function compared(one, other) {
  if (typeof one === "number") return one < other ? -1 : one > other ? 1 : 0;
  return one.localeCompare(other, "en", { numeric: true });
}

function sortBy(header) {
  const table = header.closest("table");
  const descending = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const rows = Array.from(table.tBodies[0].rows, (row) => [sortKey(row, header.cellIndex), row]);
  rows.sort(([one], [other]) => {
    if (one === null || other === null) return (one === null) - (other === null);
    return descending ? compared(other, one) : compared(one, other);
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const header of document.querySelectorAll("table.sortable th")) {
  const button = document.createElement("button");
  button.type = "button";
  header.dataset.title = header.textContent;  // what print shows in place of the button
  button.append(...header.childNodes);
  button.addEventListener("click", () => sortBy(header));
  header.append(button);
  header.setAttribute("aria-sort", "none");
}

// Copying: a page that was opened as a file may have no clipboard, so a selected text is copied instead.
function copiedBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    area.remove();
  }
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedBySelection(text);
  }
}

function textOf(element) {
  if (element.tagName === "PRE") return element.textContent;
  return Array.from(element.children, (part) => part.textContent).join("\n\n");
}

for (const button of document.querySelectorAll("button.copy")) {
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copied(textOf(document.getElementById(button.dataset.copies)));
    button.textContent = done ? "Copied" : "Not copied: select the text";
    document.getElementById("said").textContent = button.textContent;
    button.focus();
    setTimeout(() => {
      button.textContent = label;
    }, 2000);
  });
}

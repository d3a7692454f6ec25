"use strict";
const byId = (id) => document.getElementById(id);
const WHOLE = 256 * 1024, HEAD = 64 * 1024, HEADER = 4 * 1024 * 1024, TOTAL = 40 * 1024 * 1024;
let form = null, page = "";

async function post(address, body) {
  byId("message").textContent = "";
  const answer = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, profile: byId("profile").value }),
  });
  const result = await answer.json();
  if (!answer.ok) {
    byId("message").textContent = result.error;
    document.body.dataset.state = "failed";
    return;
  }
  show(result);
}

function show(result) {
  byId("yaml").value = result.yaml;
  byId("verdict").innerHTML = result.html;  // escaped by the server
  page = result.page;
  form = result.form;
  showForm();
  document.body.dataset.state = "evaluated";
}

function field(label, value, change) {
  const input = document.createElement("input");
  input.type = "text";
  input.value = value;
  input.setAttribute("aria-label", label);
  input.addEventListener("change", () => { change(input.value); send(); });
  return input;
}

function showForm() {
  byId("form").hidden = false;
  for (const key of ["name", "producer"]) {
    byId(key).value = form[key];
    byId(key).onchange = () => { form[key] = byId(key).value; send(); };
  }
  byId("licenses").replaceChildren(...Object.keys(form.licenses).map((key) => {
    const label = document.createElement("label");
    label.append(`${key} licence `, field(`${key} licence`, form.licenses[key], (v) => { form.licenses[key] = v; }));
    return label;
  }));
  byId("components").replaceChildren(...form.components.map(row));
}

function row(component) {
  const line = document.createElement("tr");
  const check = document.createElement("input");
  check.type = "checkbox";
  check.checked = component.included;
  check.setAttribute("aria-label", component.name);
  check.addEventListener("change", () => { component.included = check.checked; send(); });
  const license = field(`licence of ${component.name}`, component.license, (value) => {
    component.license = value;
    component.inherits = value.trim() === "";
    component.included = true;
  });
  const name = document.createElement("span");
  name.textContent = `${component.name} (${component.class}${component.required ? "" : ", optional"})`;
  name.title = component.description;
  for (const part of [name, check, license]) {
    const cell = document.createElement("td");
    cell.append(part);
    line.append(cell);
  }
  return line;
}

const send = () => post("/api/form", { yaml: byId("yaml").value, form });
const evaluate = () => post("/api/evaluate", { yaml: byId("yaml").value });

function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

async function head(file) {
  if (file.name.endsWith(".safetensors") && file.size > 8) {
    const view = new DataView(await file.slice(0, 8).arrayBuffer());
    return file.slice(0, Math.min(8 + Number(view.getBigUint64(0, true)), HEADER));
  }
  return file.slice(0, file.size <= WHOLE ? WHOLE : HEAD);
}

async function inspect(name, entries) {
  const files = [];
  let total = 0;
  for (const { path, file } of entries) {
    const part = total < TOTAL ? await head(file) : file.slice(0, 0);
    total += part.size;
    files.push({ path, size: file.size, head: await base64(part) });
  }
  await post("/api/inspect", { name, files });
}

async function walk(entry, into, path) {
  if (into.length >= 20000 || entry.name === ".git") return;
  if (entry.isFile) {
    const file = await new Promise((good, bad) => entry.file(good, bad));
    into.push({ path: path + entry.name, file });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((good, bad) => reader.readEntries(good, bad));
    if (!some.length) return;
    for (const child of some) await walk(child, into, path === null ? "" : `${path}${entry.name}/`);
  }
}

async function dropped(event) {
  event.preventDefault();
  byId("drop").classList.remove("over");
  const items = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  if (items.length === 1 && items[0].isFile && /\.ya?ml$/i.test(items[0].name)) {
    byId("yaml").value = await event.dataTransfer.files[0].text();
    return evaluate();
  }
  const files = [];
  for (const item of items) await walk(item, files, items.length === 1 ? null : "");
  return inspect(items[0] ? items[0].name : "model", files);
}

byId("evaluate").addEventListener("click", evaluate);
byId("profile").addEventListener("change", () => { if (byId("yaml").value.trim()) evaluate(); });
byId("download").addEventListener("click", () => download("mof.yml", byId("yaml").value, "text/yaml"));
byId("save").addEventListener("click", () => download("openness.html", page, "text/html"));
byId("folder").addEventListener("change", (event) => {
  const files = [...event.target.files];
  if (!files.length) return;
  const name = files[0].webkitRelativePath.split("/")[0] || "model";
  inspect(name, files.map((file) => ({ path: file.webkitRelativePath.split("/").slice(1).join("/"), file })));
});
byId("drop").addEventListener("dragover", (event) => { event.preventDefault(); byId("drop").classList.add("over"); });
byId("drop").addEventListener("dragleave", () => byId("drop").classList.remove("over"));
byId("drop").addEventListener("drop", dropped);
if (location.hash.startsWith("#yaml=")) {
  byId("yaml").value = decodeURIComponent(location.hash.slice(6));
  evaluate();
}

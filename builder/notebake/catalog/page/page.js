// Compare any two versions: a click on a version takes it and the one clicked before.
"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const LAST = data.categories.length - 1; // vulnerabilities
const PACKAGES = ["python_packages", "os_packages"].map((name) => data.categories.indexOf(name));
const LARGEST = 15;
const SEVERITIES = ["none", "negligible", "low", "medium", "high", "critical"];

// The same texts as webpage.py writes.
const number = (value, digits) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
function size(count) {
  const absolute = Math.abs(count);
  if (absolute >= 1e10) return `${number(count / 1e9, 1)} GB`;
  if (absolute >= 1e6) return `${number(count / 1e6, 1)} MB`;
  return absolute >= 1e3 ? `${(count / 1e3).toFixed(0)} kB` : `${count} B`;
}
const growth = (count) => (count ? (count > 0 ? "+" : "−") + size(Math.abs(count)) : "±0");

// The contents of a version: "category name" -> fact, a fact being [category, name, value, bytes, finding].
function contents(target, version) {
  const numbers = new Set();
  for (const { add = [], remove = [] } of data.targets[target].versions.slice(0, version + 1)) {
    remove.forEach((fact) => numbers.delete(fact));
    add.forEach((fact) => numbers.add(fact));
  }
  const facts = [...numbers].sort((a, b) => a - b).map((fact) => data.facts[fact]);
  return new Map(facts.map((fact) => [`${fact[0]} ${fact[1]}`, fact]));
}

function difference(before, after, skipped) {
  const changes = data.categories.map(() => []);
  for (const key of new Set([...before.keys(), ...after.keys()])) {
    const [old, now] = [before.get(key), after.get(key)];
    const [category, name] = old ?? now;
    if (category !== skipped && !(old && now && old[2] === now[2])) changes[category].push({ name, old, now });
  }
  changes.forEach((rows) => rows.sort((a, b) => (a.name < b.name ? -1 : 1)));
  return changes;
}

function row(template, texts) {
  const copy = document.getElementById(template).content.querySelector("tr").cloneNode(true);
  for (const [selector, text] of Object.entries(texts)) copy.querySelector(selector).textContent = text;
  return copy;
}

function changeRow(category, { name, old, now }) {
  const kind = old && now ? "changed" : old ? "removed" : "added";
  const sizes = [old ? old[3] : 0, now ? now[3] : 0];
  const known = PACKAGES.includes(category) && sizes.every((bytes) => bytes != null);
  const copy = row("change-row", {
    ".kind": kind, ".name": name, ".old": old ? old[2] : "", ".new": now ? now[2] : "",
    ".growth": known ? growth(sizes[1] - sizes[0]) : "",
  });
  copy.querySelector(".kind").classList.add(kind);
  return copy;
}

function showDifference(section, from, to, before, after) {
  const [old, now] = [version(from), version(to)];
  const changes = difference(before, after, old.scanned && now.scanned ? null : LAST);
  const rows = changes.flat();
  section.querySelector(".changes tbody").replaceChildren(...changes.flatMap((found, category) =>
    found.length === 0 ? [] : [
      row("category-row", { ".what": data.titles[category], ".count": found.length }),
      ...found.map((change) => changeRow(category, change)),
    ]));
  section.querySelector(".difference").hidden = rows.length === 0;
  section.querySelector(".unscanned").hidden = old.scanned === now.scanned;
  const changed = rows.filter((change) => change.old && change.now).length;
  const removed = rows.filter((change) => !change.now).length;
  const what = rows.length === 0 ? "the software is the same"
    : `${changed} changed, ${rows.length - changed - removed} added, ${removed} removed`;
  section.querySelector(".summary").textContent =
    `${what}; disk ${size(old.bytes)} → ${size(now.bytes)} (${growth(now.bytes - old.bytes)})`;
}

function showPackages(section, after, all) {
  const packages = [...after.values()].filter((fact) => PACKAGES.includes(fact[0]) && fact[3] != null)
    .sort((a, b) => b[3] - a[3] || (a[1] < b[1] ? -1 : 1));
  section.querySelector(".space").hidden = packages.length === 0;
  section.querySelector(".unsized").hidden = packages.length > 0;
  if (packages.length === 0) return;
  const sum = (facts) => facts.reduce((total, fact) => total + fact[3], 0);
  const total = sum(packages) || 1;
  let left = 0;
  for (const category of PACKAGES) {
    const bytes = sum(packages.filter((fact) => fact[0] === category));
    const name = data.categories[category];
    const bar = section.querySelector(`.stack .${name}`);
    bar.setAttribute("x", left);
    bar.setAttribute("width", (bytes / total) * 100);
    left += (bytes / total) * 100;
    section.querySelector(`.total.${name}`).textContent = size(bytes);
  }
  const shown = all ? packages : packages.slice(0, LARGEST);
  section.querySelector(".packages tbody").replaceChildren(...shown.map(([category, name, value, bytes]) => {
    const copy = row("package-row", {
      ".name": name, ".version": value, ".kind": data.titles[category].slice(0, -9), ".size": size(bytes),
      ".share": `${((bytes / total) * 100).toFixed(1)} %`,
    });
    const bar = copy.querySelector("rect");
    bar.classList.add(data.categories[category]);
    bar.setAttribute("width", (bytes / (packages[0][3] || 1)) * 100);
    return copy;
  }));
  const rest = section.querySelector(".rest");
  rest.replaceChildren();
  if (packages.length <= LARGEST) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = all ? "Show the largest" : "Show all";
  button.addEventListener("click", () => {
    showPackages(section, after, !all);
    section.querySelector(".rest button").focus();
  });
  const smaller = packages.slice(LARGEST);
  rest.append(`${smaller.length} smaller packages: ${size(sum(smaller))} `, button);
}

function showFindings(section, to, after) {
  const findings = [...after.values()].filter((fact) => fact[4]).map((fact) => fact[4]);
  const rank = (found) => [found[5] ? 1 : 0, -SEVERITIES.indexOf(found[0]), ...found.slice(1, 4)];
  findings.sort((a, b) => {
    const [first, second] = [rank(a), rank(b)];
    const at = first.findIndex((value, index) => value !== second[index]);
    return at < 0 ? 0 : first[at] < second[at] ? -1 : 1;
  });
  section.querySelector(".findings tbody").replaceChildren(...findings.map((found) => {
    const [severity, id, name, version, fixed, vex] = found;
    const copy = row("finding-row", {
      ".severity": severity, ".id": id, ".package": name, ".version": version, ".fixed": fixed,
      ".vex-status": vex,
    });
    copy.querySelector(".severity").classList.add(vex ? "vex" : severity);
    return copy;
  }));
  section.querySelector(".findings").hidden = findings.length === 0;
  section.querySelector(".clean").hidden = findings.length > 0 || !version(to).scanned;
  section.querySelector(".unknown").hidden = version(to).scanned;
}

const version = ({ target, number }) => data.targets[target].versions[number];
const whole = (target) => data.targets[target].versions.flatMap((row, number) => (row.add ? [number] : []));

// A select with the versions of the targets, the newest first.
function select(label, targets) {
  const element = document.createElement("select");
  element.setAttribute("aria-label", label);
  for (const target of targets) {
    const group = document.createElement("optgroup");
    group.label = data.targets[target].name;
    for (const number of whole(target).reverse()) {
      group.append(new Option(data.targets[target].versions[number].name, `${target} ${number}`));
    }
    element.append(group);
  }
  return element;
}

function enhance(section) {
  const target = Number(section.dataset.t);
  const known = whole(target);
  if (known.length === 0) return;
  const shown = [...section.querySelectorAll(".pair b")].map((name) => name.textContent);
  const place = (name) => ({ target, number: data.targets[target].versions.findIndex((row) => row.name === name) });
  let [from, to] = shown.length ? shown.map(place) : [undefined, { target, number: known[0] }];
  let last = to.number;
  const others = data.targets.map((_, number) => number).filter((number) => number !== target);
  const selects = [select("From version", [target, ...others]), select("To version", [target])];

  function show() {
    for (const element of section.querySelectorAll("[data-v]")) {
      const number = Number(element.dataset.v);
      const isFrom = from?.target === target && from.number === number;
      element.classList.toggle("from", isFrom);
      element.classList.toggle("to", to.number === number);
      element.querySelector("th button")?.setAttribute("aria-pressed", isFrom || to.number === number);
    }
    const before = from && contents(from.target, from.number);
    const after = contents(target, to.number);
    section.querySelectorAll(".to-name").forEach((element) => { element.textContent = version(to).name; });
    if (before) {
      selects[0].value = `${from.target} ${from.number}`;
      selects[1].value = `${target} ${to.number}`;
      section.querySelector(".pair .names").dataset.text = `${version(from).name} → ${version(to).name}`;
      showDifference(section, from, to, before, after);
    }
    showPackages(section, after, false);
    showFindings(section, to, after);
  }

  function pick(number) {
    if (number === last || !version({ target, number }).add) return;
    [from, to] = [last, number].sort((a, b) => a - b).map((one) => ({ target, number: one }));
    last = number;
    show();
  }

  for (const line of section.querySelectorAll(".versions tbody tr:not(.damaged)")) {
    const button = document.createElement("button");
    button.type = "button";
    const head = line.querySelector("th");
    button.textContent = head.textContent;
    head.replaceChildren(button);
  }
  section.addEventListener("click", (event) => {
    const picked = event.target.closest("tr th button, g[data-v]")?.closest("[data-v]");
    if (picked) pick(Number(picked.dataset.v));
  });
  if (from) {
    section.querySelector(".pair .names").replaceChildren(selects[0], " → ", selects[1]);
    selects.forEach((element, index) => element.addEventListener("change", () => {
      const [chosen, number] = element.value.split(" ").map(Number);
      if (index === 0) from = { target: chosen, number };
      else to = { target, number };
      last = number;
      show();
    }));
  }
  show();
}

document.querySelectorAll("section.target").forEach(enhance);
document.documentElement.classList.add("script");
})();

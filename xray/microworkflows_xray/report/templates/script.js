(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);
  const curves = all(".curve"), nodes = all(".node"), bonds = all("#bonds .edge");
  const bondOf = new Map(bonds.map((bond) => [bond.dataset.source + "\n" + bond.dataset.target, bond]));
  document.documentElement.classList.add("scripted");
  document.querySelector(".controls").hidden = false;

  // A link to a folded part unfolds it, and everything around it.
  const unfold = () => {
    const part = one(decodeURIComponent(location.hash.slice(1)));
    for (let each = part; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    if (part) part.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();
  addEventListener("beforeprint", () => all("#order > .ranking > li > details, .span").forEach((each) => { each.open = true; }));

  // The map: which curves are drawn, and what the panel beside it says.
  const least = one("least"), shown = one("least-shown"), list = one("panel-list"), title = one("panel-title"), back = one("panel-back");
  const heaviest = list.innerHTML, families = all("[data-family]", document.querySelector(".controls"));
  const weights = curves.map((curve) => Number(curve.dataset.weight));
  const most = Math.max(1, ...weights);
  const faint = curves.filter((curve) => curve.classList.contains("faint")).map((curve) => Number(curve.dataset.weight));
  const points = () => Math.max(1, Math.round(Math.pow(most, (Number(least.value) - 1) / 99)));
  const start = faint.length ? Math.max(...faint) + 1 : 1;
  if (start > 1) least.value = String(Math.ceil(1 + 99 * Math.log(Math.min(start, most)) / Math.log(most)));
  let chosen = "";

  const link = (bond, text) => {
    const item = document.createElement("li"), anchor = document.createElement("a"), dot = document.createElement("i");
    const weight = document.createElement("b"), kinds = document.createElement("span");
    anchor.href = "#" + bond.id;
    dot.className = "dot " + bond.dataset.family;
    anchor.append(dot, text);
    weight.textContent = bond.dataset.weight;
    kinds.className = "quiet";
    kinds.textContent = bond.dataset.kinds;
    item.append(anchor, " ", weight, kinds);
    return item;
  };
  const draw = () => {
    const from = points(), wanted = new Set(families.filter((box) => box.checked).map((box) => box.dataset.family));
    shown.textContent = String(from);
    const near = new Set([chosen]);
    for (const curve of curves) {
      const { source, target, family, weight } = curve.dataset;
      const touches = chosen && (source === chosen || target === chosen);
      const visible = wanted.has(family) && (touches || Number(weight) >= from);
      curve.classList.remove("faint");
      curve.classList.toggle("off", !visible);
      curve.classList.toggle("on", Boolean(touches && visible));
      if (touches && visible) near.add(source).add(target);
    }
    for (const node of nodes) {
      node.classList.toggle("chosen", node.dataset.context === chosen);
      node.classList.toggle("away", Boolean(chosen) && !near.has(node.dataset.context));
    }
    all(".map").forEach((map) => map.classList.toggle("chosen-one", Boolean(chosen)));
    back.hidden = !chosen;
    if (!chosen) {
      title.textContent = "Heaviest dependencies";
      list.innerHTML = heaviest;
      return;
    }
    title.textContent = chosen;
    list.replaceChildren(
      ...bonds.filter((bond) => bond.dataset.source === chosen).map((bond) => link(bond, "→ " + bond.dataset.target)),
      ...bonds.filter((bond) => bond.dataset.target === chosen).map((bond) => link(bond, "← " + bond.dataset.source)),
    );
    const bill = document.createElement("li"), anchor = document.createElement("a");
    anchor.href = "#order-" + chosen;
    anchor.textContent = "What it costs to move it out";
    bill.append(anchor);
    list.prepend(bill);
  };
  const choose = (context) => { chosen = chosen === context ? "" : context; draw(); };
  nodes.forEach((node) => node.addEventListener("click", (event) => { event.preventDefault(); choose(node.dataset.context); }));
  curves.forEach((curve) => curve.addEventListener("click", () => {
    const bond = bondOf.get(curve.dataset.source + "\n" + curve.dataset.target);
    if (bond) location.hash = bond.id;
  }));
  back.addEventListener("click", () => choose(chosen));
  [least, ...families].forEach((input) => input.addEventListener("input", draw));
  draw();

  // The filter: contexts whose names hold one of the words; bonds with one of them at an end.
  const filter = one("filter");
  if (!filter) return;
  filter.hidden = false;
  filter.addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    const fits = (name) => !words.length || words.some((word) => (name || "").toLowerCase().includes(word));
    nodes.forEach((node) => node.classList.toggle("unlisted", !fits(node.dataset.context)));
    all(".ranking > li, .matrix tbody tr").forEach((row) => row.classList.toggle("unlisted-row", !fits(row.dataset.context)));
    all(".edge").forEach((edge) => edge.classList.toggle("unlisted-row", !fits(edge.dataset.source) && !fits(edge.dataset.target)));
    all(".span").forEach((span) => span.classList.toggle("unlisted-row", !span.dataset.contexts.split(" ").some(fits)));
  });
})();

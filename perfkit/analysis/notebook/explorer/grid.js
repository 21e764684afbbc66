// A page of a table that the kernel searches, sorts and pages.
export default {
  render({ model, el }) {
    el.innerHTML = `<div class="perfkit-grid"><div class="bar"><input type="search" placeholder="search" aria-label="search"
      data-lm-suppress-shortcuts="true"><span class="count" aria-live="polite"></span>
      <button class="page" aria-label="previous page">‹</button><button class="page" aria-label="next page">›</button></div>
      <div class="rows"><table><thead></thead><tbody></tbody></table></div></div>`;
    const root = el.firstElementChild, find = (selector) => root.querySelector(selector);
    const search = find("input"), [previous, next] = root.querySelectorAll("button.page");
    const WAIT = 150;
    let timer;
    for (const button of [previous, next]) button.dataset.lmSuppressShortcuts = "true";

    const element = (tag, text, name) => {
      const made = document.createElement(tag);
      made.textContent = text; if (name) made.className = name;
      return made;
    };
    const head = (view) => {
      const row = document.createElement("tr");
      row.append(...view.columns.map(({ name, number, note }, at) => {
        const arrow = view.sort[0] !== at ? "" : view.sort[1] ? " ▲" : " ▼";
        const cell = element("th", "", number ? "number" : ""), button = element("button", name + arrow);
        cell.ariaSort = view.sort[0] !== at ? "none" : view.sort[1] ? "ascending" : "descending";
        button.dataset.key = `head ${at}`; button.dataset.lmSuppressShortcuts = "true"; if (note) button.title = note;
        button.onclick = () => model.send({ kind: "sort", at });
        cell.append(button);
        return cell;
      }));
      return row;
    };
    const body = (view) => view.rows.map(({ key, on, cells }) => {
      const row = document.createElement("tr");
      row.tabIndex = 0; row.ariaSelected = on; row.dataset.key = key; row.dataset.lmSuppressShortcuts = "true";
      row.append(...cells.map((text, at) => {
        const cell = element("td", text, view.columns[at].number ? "number" : "");
        if (text.length > 24) cell.title = text;
        return cell;
      }));
      const pick = (add) => model.send({ kind: "pick", key, add });
      row.onclick = (event) => pick(event.ctrlKey || event.metaKey);
      row.onkeydown = (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(event.ctrlKey || event.metaKey); }
        const to = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
        if (to) { event.preventDefault(); to.focus(); }
      };
      return row;
    });
    const paint = () => {
      const view = model.get("view"), held = root.contains(document.activeElement) && document.activeElement.dataset.key;
      find(".count").textContent = view.said;
      previous.disabled = view.page < 1; next.disabled = view.page + 1 >= view.pages;
      previous.hidden = next.hidden = view.pages < 2;
      if (document.activeElement !== search) search.value = view.search;
      find("thead").replaceChildren(head(view));
      find("tbody").replaceChildren(...body(view));
      if (held) root.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus();
    };
    search.oninput = () => {
      clearTimeout(timer);
      timer = setTimeout(() => model.send({ kind: "search", text: search.value }), WAIT);
    };
    previous.onclick = () => model.send({ kind: "page", step: -1 });
    next.onclick = () => model.send({ kind: "page", step: 1 });
    model.on("change:view", paint);
    paint();
    return () => { clearTimeout(timer); model.off("change:view", paint); };
  },
};

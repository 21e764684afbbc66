// Shows a picture that the kernel drew, and tells the kernel what a person does on it.
export default {
  render({ model, el }) {
    el.innerHTML = `<div class="perfkit-picture" tabindex="0" role="group" data-lm-suppress-shortcuts="true">
      <div class="sheet"><img draggable="false" alt=""><svg preserveAspectRatio="none"></svg>
      <div class="legend"></div><div class="tip" hidden></div><div class="busy" hidden>drawing …</div></div>
      <div class="said" aria-live="polite"></div></div>`;
    const root = el.firstElementChild, find = (selector) => root.querySelector(selector);
    const sheet = find(".sheet"), img = find("img"), svg = find("svg"), tip = find(".tip"), legend = find(".legend");
    const MANY = 40, NEAR = 12;
    let targets = new Uint16Array(0), texts = new Map(), near = -1, from = null, address = "";

    const bytes = (name) => {
      const view = model.get(name);
      return view ? view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) : new ArrayBuffer(0);
    };
    const scale = () => model.get("size")[0] / img.getBoundingClientRect().width;
    const place = (event) => {
      const box = img.getBoundingClientRect();
      return [(event.clientX - box.left) * scale(), (event.clientY - box.top) * scale()];
    };
    const rectangle = ([x0, y0], [x1, y1]) =>
      `<rect class="drag" x="${Math.min(x0, x1)}" y="${Math.min(y0, y1)}" width="${Math.abs(x1 - x0)}" height="${Math.abs(y1 - y0)}"/>`;
    const rings = (more = "") => {
      const marks = model.get("marks"), radius = marks.length > MANY ? 6 : 13;
      svg.innerHTML = marks.map(([x, y]) => `<circle class="mark" cx="${x}" cy="${y}" r="${radius}"/>`).join("") + more;
    };
    const entries = () => {
      const [width, height] = model.get("size"), held = [...legend.children].indexOf(document.activeElement);
      legend.replaceChildren(...model.get("legend").map(({ box: [x0, y0, x1, y1], name }) => {
        const button = document.createElement("button");
        button.dataset.lmSuppressShortcuts = "true";
        button.title = button.ariaLabel = `hide ${name}`;
        const share = { left: x0 / width, top: y0 / height, width: (x1 - x0) / width, height: (y1 - y0) / height };
        for (const [side, value] of Object.entries(share)) button.style[side] = `${100 * value}%`;
        button.onpointerdown = (event) => event.stopPropagation();
        button.onclick = () => model.send({ kind: "hide", name });
        return button;
      }));
      if (held >= 0) legend.children[Math.min(held, legend.children.length - 1)]?.focus();
    };
    const picture = () => {
      URL.revokeObjectURL(address);
      const png = bytes("png");
      img.hidden = !png.byteLength;
      if (png.byteLength) img.src = address = URL.createObjectURL(new Blob([png], { type: "image/png" }));
      targets = new Uint16Array(bytes("targets"));
      texts.clear(); near = -1; tip.hidden = true;
      img.alt = model.get("description"); root.setAttribute("aria-label", img.alt);
      const [width, height] = model.get("size");
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      sheet.style.width = `${width / 2}px`;
      entries(); rings();
    };
    const nearest = ([x, y]) => {
      let best = -1, distance = (NEAR * scale()) ** 2;
      for (let at = 0; at < targets.length; at += 2) {
        const apart = (targets[at] - x) ** 2 + (targets[at + 1] - y) ** 2;
        if (apart < distance) { distance = apart; best = at / 2; }
      }
      return best;
    };
    const show = (at) => {
      tip.textContent = texts.get(at) ?? "…"; tip.hidden = false;
      const left = targets[2 * at] / scale(), room = img.getBoundingClientRect().width;
      tip.style.left = left > room / 2 ? "" : `${left + 14}px`;
      tip.style.right = left > room / 2 ? `${room - left + 14}px` : "";
      tip.style.top = `${targets[2 * at + 1] / scale() + 10}px`;
    };
    sheet.onpointerdown = (event) => {
      if (event.button) return;
      event.preventDefault(); root.focus({ preventScroll: true });
      from = place(event); sheet.setPointerCapture(event.pointerId);
    };
    sheet.onpointermove = (event) => {
      const here = place(event);
      if (from) return rings(rectangle(from, here));
      const at = nearest(here);
      if (at === near) return;
      near = at;
      if (at < 0) { tip.hidden = true; return; }
      show(at);
      if (!texts.has(at)) model.send({ kind: "hover", at });
    };
    sheet.onpointerup = (event) => {
      if (!from) return;
      const [x0, y0] = from, [x, y] = place(event);
      from = null; rings();
      if (Math.hypot(x - x0, y - y0) < 4 * scale()) model.send({ kind: "click", at: nearest([x, y]) });
      else model.send({ kind: "drag", box: [Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)] });
    };
    sheet.onpointerleave = () => { near = -1; tip.hidden = true; };
    sheet.onpointercancel = () => { from = null; rings(); };
    root.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) { event.preventDefault(); model.send({ kind: "step", step }); }
      else if (event.key === "Escape") model.send({ kind: "clear" });
    };
    const told = (message) => {
      if (message.kind !== "hover") return;
      texts.set(message.at, message.text);
      if (near === message.at) show(near);
    };
    const said = () => { find(".said").textContent = model.get("said"); };
    const busy = () => { find(".busy").hidden = !model.get("busy"); };
    const heard = [["change:version", picture], ["change:marks", () => rings()], ["change:said", said],
      ["change:busy", busy], ["msg:custom", told]];
    heard.forEach(([event, handler]) => model.on(event, handler));
    picture(); said(); busy();
    return () => { heard.forEach(([event, handler]) => model.off(event, handler)); URL.revokeObjectURL(address); };
  },
};

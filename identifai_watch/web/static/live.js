// Server-sent events: parts that look otherwise are replaced, rows come, change and go, and the reader keeps his place.

function wayTo(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const around = element.closest("[id]");
  const href = element.getAttribute("href");
  return around && `#${CSS.escape(around.id)} ${href ? `a[href="${CSS.escape(href)}"]` : element.localName}`;
}

function keepingFocus(change) {
  const way = wayTo(document.activeElement || document.body);
  change();
  if (way && document.activeElement === document.body) document.querySelector(way)?.focus({ preventScroll: true });
}

function openOnes(within) {
  return [...within.querySelectorAll("details[open][id]")].map((one) => one.id);
}

function part({ id, html }) {
  const element = document.getElementById(id);
  if (!element || element.innerHTML === html) return;
  const open = openOnes(element);
  keepingFocus(() => { element.innerHTML = html; });
  for (const one of open) document.getElementById(one)?.setAttribute("open", "");
}

function rows({ id, order, rows: changed }) {
  const body = document.getElementById(`${id}-rows`);
  if (!body) return 0;
  let fresh = 0;
  keepingFocus(() => {
    const wanted = order.map((number) => {
      const name = `${id}-${number}`;
      let row = document.getElementById(name);
      const news = changed[number];
      if (!row) {
        if (!news) return null;
        row = document.createElement("tr");
        row.id = name;
        fresh += 1;
      }
      if (news && row.dataset.mark !== news.mark) {
        row.innerHTML = news.html;
        row.dataset.mark = news.mark;
      }
      return row;
    }).filter(Boolean);
    const stays = new Set(wanted);
    for (const row of [...body.children]) if (!stays.has(row)) row.remove();
    wanted.forEach((row, place) => {
      if (body.children[place] !== row) body.insertBefore(row, body.children[place] || null);
    });
  });
  const empty = document.getElementById(`${id}-empty`);
  if (empty) empty.hidden = order.length > 0;
  return fresh;
}

export function follow(address, status) {
  const source = new EventSource(address);
  let isFirst = true;
  source.addEventListener("open", () => { status.textContent = "Live"; status.classList.add("on"); });
  source.addEventListener("error", () => {
    status.classList.remove("on");
    status.textContent = source.readyState === EventSource.CLOSED ? "Not live: reload to see what changed" : "Connecting";
  });
  source.addEventListener("part", (event) => part(JSON.parse(event.data)));
  source.addEventListener("rows", (event) => {
    const fresh = rows(JSON.parse(event.data));
    if (fresh && !isFirst) status.textContent = fresh === 1 ? "Live: 1 new file" : `Live: ${fresh} new files`;
    isFirst = false;
  });
}

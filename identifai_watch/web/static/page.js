// What every page does besides showing: the theme, what is live, and questions that are asked in place.
import { follow } from "./live.js";
import { askInPlace } from "./dialogs.js";

const root = document.documentElement;
const toggle = document.getElementById("theme");

function isDark() {
  if (root.dataset.theme) return root.dataset.theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function label() {
  toggle.textContent = isDark() ? "Light" : "Dark";
  toggle.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
}

toggle.hidden = false;
toggle.addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  root.dataset.theme = theme;
  document.cookie = `theme=${theme}; Path=/; Max-Age=31536000; SameSite=Strict`;
  label();
});
label();

// A slider that lays the heatmap over the picture.
const heat = document.getElementById("heat");
const heatmap = document.getElementById("heatmap");
if (heat && heatmap) {
  heat.hidden = false;
  const show = () => { heatmap.style.opacity = heat.value / 100; };
  heat.addEventListener("input", show);
  show();
}

// A picture of few pixels is shown larger, or nothing of it could be seen.
const original = document.getElementById("original");
if (original?.matches(".stack img")) {
  const grow = () => { if (original.naturalWidth > 0 && original.naturalWidth < 320) original.width = 320; };
  if (original.complete) grow();
  original.addEventListener("load", grow);
}

// Boxes that are told in pixels lie right once it is known how many the picture has.
const boxes = [...document.querySelectorAll("svg.boxes")];
if (boxes.length && original) {
  const fit = () => {
    for (const one of boxes) {
      if (one.dataset.unit === "pixels" && original.naturalWidth) {
        one.setAttribute("viewBox", `0 0 ${original.naturalWidth} ${original.naturalHeight}`);
        one.classList.add("fits");
      }
    }
  };
  if (original.complete) fit();
  original.addEventListener("load", fit);
  document.getElementById("show-boxes").addEventListener("change", (event) => {
    for (const one of boxes) one.classList.toggle("off", !event.target.checked);
  });
}

// A clip is played from its beginning; a line along the clips says where the player is.
if (original && original.play) {
  document.addEventListener("click", (event) => {
    const clip = event.target.closest("[data-at]");
    if (!clip) return;
    original.currentTime = Number(clip.dataset.at);
    original.play();
  });
  original.addEventListener("timeupdate", () => {
    for (const line of document.querySelectorAll("svg.timeline .playhead")) {
      const x = (1000 * original.currentTime) / Number(line.ownerSVGElement.dataset.seconds);
      line.setAttribute("x1", Math.min(x, 1000));
      line.setAttribute("x2", Math.min(x, 1000));
    }
  });
}

// A thumbnail that was not made in time has an icon in its place, of 64 pixels; it is asked for again.
function again(image) {
  const tries = Number(image.dataset.tries || 0);
  if (image.naturalWidth !== 64 || tries >= 4) return;
  image.dataset.tries = tries + 1;
  setTimeout(() => { if (image.isConnected) image.src = `${image.src.split("?")[0]}?again=${tries + 1}`; }, 4000 * (tries + 1));
}
document.addEventListener("load", (event) => {
  if (event.target.matches?.(".thumb img")) again(event.target);
}, true);
for (const image of document.querySelectorAll(".thumb img")) if (image.complete) again(image);

const main = document.getElementById("main");
if (main.dataset.live) follow(main.dataset.live, document.getElementById("live"));
askInPlace();

"use strict";
// Fills the picture with what the lab tells every second.

const units = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"];

function rate(bits) {
  let unit = 0;
  while (bits >= 999.5 && unit < units.length - 1) { bits /= 1000; unit += 1; }
  return bits ? `${bits.toFixed(bits < 9.95 ? 1 : 0)} ${units[unit]}` : "";
}

function show(drawn, now) {
  drawn.setAttribute("class", `tunnel ${now}`);
  drawn.querySelector("title").textContent = `tunnel ${drawn.dataset.a} – ${drawn.dataset.b}: ${now}`;
}

const state = document.getElementById("state");
const picture = document.querySelector("svg");
const source = new EventSource("/events");
source.onmessage = (event) => {
  const news = JSON.parse(event.data);
  const told = new Set();
  state.textContent = `live, ${new Date().toLocaleTimeString()}`;
  picture.classList.remove("stale");
  for (const text of document.querySelectorAll("[data-end]")) {
    text.textContent = rate(news.sent[text.dataset.end] || 0);
  }
  for (const node of document.querySelectorAll("[data-node]")) {
    node.classList.toggle("off", !news.running.includes(node.dataset.node));
  }
  for (const tunnel of news.tunnels) {
    const drawn = document.querySelector(`.tunnel[data-a="${tunnel.a}"][data-b="${tunnel.b}"]`);
    if (!drawn) {
      location.reload(); // there is one more than was drawn
      return;
    }
    told.add(drawn);
    show(drawn, tunnel.state);
  }
  for (const drawn of document.querySelectorAll(".tunnel")) {
    if (!told.has(drawn)) { show(drawn, "unknown"); }
  }
};
source.onerror = () => {
  state.textContent = "no connection; is the lab still there?";
  picture.classList.add("stale");
};

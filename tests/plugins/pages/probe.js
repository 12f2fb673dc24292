// Tries what a page may do and what it must not; what came of it is in #found as JSON.
const found = {};

async function attempt(name, action) {
  try {
    found[name] = await action();
  } catch (error) {
    found[name] = `refused: ${error.name}`;
  }
}

function loads(tag, attribute, address) {
  return new Promise((resolve) => {
    const element = document.createElement(tag);
    element.onload = () => resolve("loaded");
    element.onerror = () => resolve("refused");
    setTimeout(() => resolve("silent"), 1500);
    element[attribute] = address;
    document.body.append(element);
  });
}

const text = async (answer) => `${answer.status} ${await answer.text()}`;

addEventListener("load", async () => {
  const elsewhere = await (await fetch("elsewhere")).text();
  const other = `http://e2e-other.localhost:${location.port}/plugins/e2e-other/ui/`;
  const anything = { mode: "no-cors", credentials: "include" };
  const image = document.getElementById("dot");
  found.style = getComputedStyle(document.body).color;
  found.image = [image.naturalWidth, image.naturalHeight];
  await attempt("get", async () => text(await fetch("echo?a=b")));
  await attempt("post", async () => text(await fetch("echo", { method: "POST", body: "more" })));
  await attempt("api", async () => (await fetch("/v1/status")).status);
  await attempt("fetch_other", async () => (await fetch(other, anything)).type);
  await attempt("image_other", () => loads("img", "src", `${other}dot.svg`));
  await attempt("frame_other", () => loads("iframe", "src", other));
  await attempt("fetch_elsewhere", async () => (await fetch(elsewhere, anything)).type);
  await attempt("image_elsewhere", () => loads("img", "src", `${elsewhere}/image`));
  await attempt("script_elsewhere", () => loads("script", "src", `${elsewhere}/script`));
  await attempt("beacon", () => navigator.sendBeacon(`${elsewhere}/beacon`, "x"));
  await attempt("service_worker", async () => (await navigator.serviceWorker.register("worker.js")).scope);
  await attempt("window", () => String(window.open(`${elsewhere}/window`)));
  await attempt("cookies", () => {
    document.cookie = "wide=1; domain=localhost";
    document.cookie = "wider=1; domain=e2e-other.localhost";
    return document.cookie;
  });
  document.getElementById("found").textContent = JSON.stringify(found);
  document.title = "done";
});

// Surfaces that turn. The library (a few megabytes, kept with the book) is loaded once a reader asks for it.
(() => {
  const library = new URL("plotly/plotly.min.js", document.currentScript.src).href;
  let loading;

  const load = () => {
    loading ??= new Promise((ready, failed) => {
      const script = document.createElement("script");
      script.src = library;
      script.onload = ready;
      script.onerror = failed;
      document.head.append(script);
    });
    return loading;
  };

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    return { ink: style.getPropertyValue("--pst-color-text-base").trim() || "#222832",
             grid: style.getPropertyValue("--pst-color-border").trim() || "#c9cfd6" };
  };

  const axis = (title, range) => {
    const { ink, grid } = colours();
    return { title: { text: title }, range, color: ink, gridcolor: grid, zerolinecolor: grid, showbackground: false };
  };

  const layout = (surface, camera) => ({
    font: { color: colours().ink },
    paper_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 0, r: 0, t: 0, b: 0 },
    scene: { xaxis: axis("α"), yaxis: axis("β"), zaxis: axis(surface.height, [surface.low, surface.high]),
             aspectmode: "cube", camera: camera || { eye: { x: 1, y: -1.75, z: 0.9 } } },
  });

  const trace = (surface) => ({
    type: "surface", x: surface.axis, y: surface.axis, z: surface.values,
    cmin: surface.low, cmax: surface.high, showscale: false,
    colorscale: surface.colours.map((colour, k) => [k / (surface.colours.length - 1), colour]),
    contours: { z: surface.boundary
      ? { show: true, start: 0, end: 0.001, size: 1, color: "black", width: 8, project: { z: true } }
      : { show: true, start: surface.low, end: surface.high, size: (surface.high - surface.low) / 10, color: "#555555",
          project: { z: true } } },
    hovertemplate: `α = %{x:.3g}<br>β = %{y:.3g}<br>${surface.height} = %{z:.3g}<extra></extra>`,
  });

  const draw = async (box, surfaces, button) => {
    button.disabled = true;
    button.textContent = "Loading …";
    try {
      await load();
    } catch {
      button.textContent = "The library did not load; the picture above shows the same.";
      return;
    }
    button.remove();
    const panels = surfaces.map((surface) => {
      const frame = document.createElement("figure");
      const caption = document.createElement("figcaption");
      const panel = document.createElement("div");
      caption.textContent = surface.title;
      panel.className = "turning-panel";
      panel.setAttribute("role", "img");
      panel.setAttribute("aria-label", `${surface.title}: drag to turn, point to read a value`);
      frame.append(caption, panel);
      box.append(frame);
      return panel;
    });
    const options = { displayModeBar: false, responsive: true };
    await Promise.all(panels.map((panel, k) => Plotly.newPlot(panel, [trace(surfaces[k])], layout(surfaces[k]), options)));
    // all panels of a figure are seen from the same side
    let following = false;
    panels.forEach((panel) => panel.on("plotly_relayout", (change) => {
      const camera = change["scene.camera"];
      if (!camera || following) return;
      following = true;
      const others = panels.filter((other) => other !== panel);
      Promise.all(others.map((other) => Plotly.relayout(other, { "scene.camera": camera }))).finally(() => { following = false; });
    }));
    new MutationObserver(() => panels.forEach((panel, k) => {
      Plotly.relayout(panel, layout(surfaces[k], panel.layout.scene.camera));
    })).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    box.dataset.drawn = "true";
  };

  const offer = (box) => {
    const surfaces = JSON.parse(box.querySelector("script").textContent);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "turning-button";
    button.textContent = surfaces.length > 1 ? "Turn these surfaces" : "Turn this surface";
    button.addEventListener("click", () => draw(box, surfaces, button));
    box.append(button);
  };

  const start = () => document.querySelectorAll(".turning").forEach(offer);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();

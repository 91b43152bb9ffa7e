// Draws the lineage of the page with Cytoscape.js: products in columns, fields in them, arrows along the flow of data.
"use strict";
(() => {
  const draw = () => {
    const place = document.getElementById("drawing");
    if (!place || typeof cytoscape === "undefined") return;
    const graph = JSON.parse(place.dataset.graph);
    const elements = [
      ...graph.nodes.map((each) => ({
        group: "nodes",
        data: each.parent ? each : { ...each, parent: undefined },
        position: { x: each.x, y: each.y },
        classes: [each.kind, each.archetype, each.status, each.state, each.processor, each.here ? "here" : ""].join(" "),
      })),
      ...graph.edges.map((each) => ({ group: "edges", data: each, classes: each.how })),
    ];
    const cy = cytoscape({
      container: place,
      elements,
      style: styles(),
      layout: { name: "preset", fit: true, padding: 24 },
      userZoomingEnabled: false,
      boxSelectionEnabled: false,
      autoungrabify: true,
      maxZoom: 2,
      minZoom: 0.1,
    });
    const fit = () => {
      cy.resize();
      cy.fit(undefined, 24);
      if (cy.zoom() > 1) {
        cy.zoom(1);
        cy.center();
      }
    };
    const box = cy.elements().boundingBox();
    place.style.height = `${Math.min(680, Math.max(220, box.h * Math.min(1, place.clientWidth / (box.w + 48)) + 60))}px`;
    fit();
    window.addEventListener("resize", fit);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => cy.style(styles()));
    cy.on("tap", "node", (event) => {
      const href = event.target.data("href");
      if (href) location.assign(href);
    });
    cy.on("mouseover", "node", (event) => {
      const node = event.target;
      const near = node.union(node.descendants());
      const path = near.union(near.predecessors()).union(near.successors());
      cy.elements().not(path.union(path.ancestors()).union(path.descendants())).addClass("faint");
      place.classList.add("over");
    });
    cy.on("mouseout", "node", () => {
      cy.elements().removeClass("faint");
      place.classList.remove("over");
    });
    const buttons = document.createElement("div");
    buttons.className = "zoom";
    for (const [label, text, act] of [
      ["Zoom in", "+", () => cy.zoom({ level: cy.zoom() * 1.3, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } })],
      ["Zoom out", "−", () => cy.zoom({ level: cy.zoom() / 1.3, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } })],
      ["Show all of it", "⤢", fit],
    ]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.setAttribute("aria-label", label);
      button.title = label;
      button.addEventListener("click", act);
      buttons.append(button);
    }
    place.after(buttons);
    place.dataset.drawn = String(graph.nodes.length);
  };

  const colour = (name) => {
    // A custom property keeps `light-dark()` as it is written; the colour of an element is what it comes to.
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };

  const styles = () => {
    const font = getComputedStyle(document.body).fontFamily;
    const text = colour("text");
    const box = {
      shape: "round-rectangle",
      label: "data(label)",
      color: text,
      "font-family": font,
      "font-size": 12.5,
      "background-color": colour("raised"),
      "border-width": 1,
      "border-color": colour("line"),
      "text-max-width": 216,
      "text-wrap": "ellipsis",
    };
    const arrow = (name, more) => ({ "line-color": colour(name), "target-arrow-color": colour(name), ...more });
    return [
      { selector: "node", style: box },
      { selector: "node.product", style: { width: 228, height: 30, "text-valign": "center", "font-weight": 600 } },
      {
        selector: "node.product:parent",
        style: { "text-valign": "top", "text-margin-y": -4, "text-max-width": 330, padding: 8, "background-color": colour("sunken") },
      },
      { selector: "node.field, node.more", style: { width: 212, height: 24, "text-valign": "center", "font-size": 12 } },
      { selector: "node.more", style: { color: colour("quiet"), "border-style": "dashed" } },
      { selector: "node.product.source-aligned", style: { "border-color": colour("source") } },
      { selector: "node.product.aggregate", style: { "border-color": colour("aggregate") } },
      { selector: "node.product.consumer-aligned", style: { "border-color": colour("consumer") } },
      { selector: "node.product.deprecated, node.product.retired", style: { "border-style": "dashed" } },
      { selector: "node.product.at-risk", style: { color: colour("warn"), "border-color": colour("warn") } },
      { selector: "node.product.broken, node.product.stopped", style: { color: colour("bad"), "border-color": colour("bad") } },
      { selector: "node.here", style: { "border-width": 3 } },
      { selector: "node.field.here", style: { "border-color": colour("accent") } },
      {
        selector: "edge",
        style: {
          width: 1.6,
          "curve-style": "bezier",
          "target-arrow-shape": "triangle",
          "arrow-scale": 0.9,
          "source-endpoint": "90deg",
          "target-endpoint": "-90deg",
          ...arrow("accent"),
        },
      },
      { selector: "edge.derived", style: arrow("aggregate") },
      { selector: "edge.aggregated", style: arrow("consumer") },
      { selector: "edge.filters, edge.joins, edge.groups", style: arrow("quiet", { "line-style": "dotted", width: 1.2 }) },
      { selector: "edge.reads", style: arrow("quiet", { "line-style": "dashed" }) },
      { selector: ".faint", style: { opacity: 0.18 } },
    ];
  };

  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", draw) : draw();
})();

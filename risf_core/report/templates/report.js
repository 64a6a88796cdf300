(function () {
  "use strict";
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var charts = [];

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // The colours of text, lines and ground are the page's own, in light and in dark.
  function theme() {
    var text = colour("--text"), line = colour("--line");
    var look = { "font.color": text, "font.family": getComputedStyle(document.body).fontFamily, "hoverlabel.bgcolor": colour("--panel"), "hoverlabel.font.color": text };
    ["xaxis", "yaxis"].forEach(function (axis) {
      look[axis + ".gridcolor"] = line;
      look[axis + ".linecolor"] = line;
      look[axis + ".tickfont.color"] = text;
      look[axis + ".title.font.color"] = colour("--quiet");
    });
    return look;
  }

  function json(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }

  function draw(place) {
    var figure = json(place.dataset.figure);
    return Plotly.newPlot(place, figure.data, figure.layout, { displayModeBar: false, responsive: true }).then(function () {
      charts.push(place);
      return Plotly.relayout(place, theme());
    });
  }

  function chooseCurves() {
    var choice = document.getElementById("curve-choice");
    if (!choice) { return; }
    var curves = json("curves");
    choice.addEventListener("change", function () {
      var own = curves[Number(choice.value)];
      Object.keys(own.figures).forEach(function (name) {
        var shown = own.figures[name], recalls = [shown.before, shown.after].map(function (values) {
          return values.map(function (_, i) { return i / (values.length - 1); });
        });
        Plotly.restyle("curve-" + name, { x: recalls, y: [shown.before, shown.after] });
        document.getElementById("curve-title-" + name).textContent = shown.title;
      });
    });
  }

  // What is drawn, and in which colours, is noted at the root for scripts that wait for it.
  function note() {
    document.documentElement.dataset.drawn = String(charts.length);
    document.documentElement.dataset.scheme = dark.matches ? "dark" : "light";
  }

  Promise.all(Array.prototype.map.call(document.querySelectorAll(".chart"), draw)).then(note);
  chooseCurves();
  dark.addEventListener("change", function () {
    Promise.all(charts.map(function (place) { return Plotly.relayout(place, theme()); })).then(note);
  });
})();

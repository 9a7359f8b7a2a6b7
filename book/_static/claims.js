// The claims page: which claims are shown, by verdict, section and words. Without scripts all are.
(() => {
  const start = () => {
    const place = document.getElementById("claims-filter");
    if (!place) return;
    const table = [...document.querySelectorAll("article table")].find((each) => each.querySelector('a[href^="#claim-"]'));
    const rows = [...table.querySelectorAll("tbody tr")];
    const claims = rows.map((row) => {
      const link = row.querySelector('a[href^="#claim-"]');
      const target = document.getElementById(link.getAttribute("href").slice(1));
      const section = target && (target.closest("section") || target.nextElementSibling);
      return { row, section, verdict: row.querySelector(".verdict").textContent.trim(), part: row.cells[1].textContent.trim(),
               words: (row.textContent + (section ? section.textContent : "")).toLowerCase() };
    });
    const chosen = { verdict: "", part: "", words: "" };
    const told = document.createElement("p");
    told.setAttribute("role", "status");

    const show = () => {
      let n = 0;
      claims.forEach((claim) => {
        const seen = (!chosen.verdict || claim.verdict === chosen.verdict) && (!chosen.part || claim.part === chosen.part)
          && claim.words.includes(chosen.words);
        n += seen;
        claim.row.hidden = !seen;
        if (claim.section) claim.section.hidden = !seen;
      });
      document.querySelectorAll("article section").forEach((part) => {
        const own = claims.filter((claim) => claim.section && claim.section !== part && part.contains(claim.section));
        if (own.length && !part.querySelector("h1")) part.hidden = own.every((claim) => claim.section.hidden);
      });
      told.textContent = `${n} of ${claims.length} claims shown`;
    };

    const buttons = document.createElement("div");
    ["", ...new Set(claims.map((claim) => claim.verdict))].forEach((verdict) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = verdict ? `verdict verdict-${verdict.replaceAll(" ", "-")}` : "verdict verdict-all";
      button.textContent = verdict ? `${verdict} (${claims.filter((claim) => claim.verdict === verdict).length})` : "all verdicts";
      button.setAttribute("aria-pressed", String(!verdict));
      button.addEventListener("click", () => {
        chosen.verdict = verdict;
        buttons.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
        show();
      });
      buttons.append(button);
    });
    const part = document.createElement("select");
    part.setAttribute("aria-label", "Section of the paper");
    part.append(new Option("all sections", ""));
    [...new Set(claims.map((claim) => claim.part))].forEach((name) => part.append(new Option(`section ${name}`, name)));
    part.addEventListener("change", () => { chosen.part = part.value; show(); });
    const words = document.createElement("input");
    words.type = "search";
    words.placeholder = "words of a claim";
    words.setAttribute("aria-label", "Words of a claim");
    words.addEventListener("input", () => { chosen.words = words.value.trim().toLowerCase(); show(); });
    place.append(buttons, part, words, told);
    // a link to a claim leads to it, whatever is chosen
    window.addEventListener("hashchange", () => {
      const aim = claims.find((claim) => claim.section && claim.section.contains(document.getElementById(location.hash.slice(1))));
      if (aim && aim.section.hidden) buttons.firstChild.click();
    });
    show();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();

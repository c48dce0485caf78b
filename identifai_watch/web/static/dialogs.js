// What asks before it does something asks in a dialog; without this it is a page of its own, with the same form.

export function askInPlace() {
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    const address = new URL(link.href);
    address.searchParams.set("fragment", "1");
    let answer;
    try {
      answer = await fetch(address, { headers: { Accept: "text/html" }, redirect: "error" });
    } catch {
      location.href = link.href;
      return;
    }
    if (!answer.ok) {
      location.href = link.href;
      return;
    }
    const dialog = document.createElement("dialog");
    dialog.innerHTML = await answer.text();
    dialog.setAttribute("aria-labelledby", "confirm-title");
    document.body.append(dialog);
    dialog.addEventListener("close", () => {
      dialog.remove();
      (document.getElementById(link.id) || link).focus();
    });
    dialog.addEventListener("click", (click) => {
      if (click.target.closest("[data-close]")) {
        click.preventDefault();
        dialog.close();
      }
    });
    dialog.showModal();
  });
}

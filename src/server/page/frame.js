// Tells the page around how high this one is, and whether the session is still open. Only pages of the origins that may
// embed it are told, each by its own origin. Without this script, the page is the same in a frame of a fixed height.
"use strict";

(() => {
  const { root, frame, session } = document.body.dataset;
  const allowed = frame.split(" ").filter(Boolean);
  // The origin of the page around, once it has said hello.
  let outside = null;

  const tell = (message) => {
    if (outside) window.parent.postMessage(message, outside);
  };
  const height = () => Math.ceil(document.body.getBoundingClientRect().height);
  const tellHeight = () => tell({ type: "rowhook:height", height: height() });

  if (window.parent !== window) {
    window.addEventListener("message", (event) => {
      const isHello = event.data && event.data.type === "rowhook:hello";
      if (event.source !== window.parent || !allowed.includes(event.origin) || !isHello) return;
      outside = event.origin;
      tell({ type: "rowhook:session", state: session });
      tellHeight();
    });
    new ResizeObserver(tellHeight).observe(document.body);
  }

  // A session that has ended elsewhere ends here, too. What is asked for by itself does not keep it open.
  if (session === "open") {
    setInterval(async () => {
      const answer = document.hidden ? null : await fetch(root + "/session").catch(() => null);
      if (answer && answer.status === 401) location.replace(root + "/hooks");
    }, 30000);
  }
})();

// <rowhook-portal src="LINK" label="Webhooks"></rowhook-portal>
//
// Embeds the portal that LINK opens, which works once. The element is as high as what it shows. It fires "opened" when
// somebody is logged in there, and "ended" when nobody is any more: give it another link then.
"use strict";

(() => {
  if (customElements.get("rowhook-portal")) return;

  const LEAST = 120;
  const MOST = 100000;

  class RowhookPortal extends HTMLElement {
    static observedAttributes = ["src", "label"];

    // The frame, the origin of the portal in it, and what was told last of its session.
    #frame = null;
    #origin = null;
    #state = null;
    #loads = 0;
    #hear = (event) => this.#heard(event);

    connectedCallback() {
      window.addEventListener("message", this.#hear);
      this.#embed();
    }

    disconnectedCallback() {
      window.removeEventListener("message", this.#hear);
      this.#clear();
    }

    attributeChangedCallback(name, before, after) {
      if (!this.isConnected || before === after) return;
      if (name === "label" && this.#frame) this.#frame.title = this.#label();
      if (name === "src") this.#embed();
    }

    #label() {
      return this.getAttribute("label") || "Webhooks";
    }

    #clear() {
      if (this.#frame) this.#frame.remove();
      this.#frame = this.#origin = this.#state = null;
      this.#loads = 0;
    }

    #embed() {
      this.#clear();
      const src = this.getAttribute("src");
      if (!src) return;
      const url = new URL(src, document.baseURI);
      // An address such as javascript: would run here.
      if (url.protocol !== "https:" && url.protocol !== "http:") return;
      const frame = document.createElement("iframe");
      frame.title = this.#label();
      frame.referrerPolicy = "no-referrer";
      Object.assign(frame.style, { display: "block", width: "100%", height: "30rem", border: "0" });
      frame.addEventListener("load", () => this.#loaded());
      this.#frame = frame;
      this.#origin = url.origin;
      frame.src = url.href;
      if (!this.shadowRoot) this.attachShadow({ mode: "open" });
      this.style.display ||= "block";
      this.shadowRoot.append(frame);
    }

    #loaded() {
      // Each page of the portal is greeted anew. Whatever else is in the frame does not get it, and says nothing.
      this.#frame.contentWindow.postMessage({ type: "rowhook:hello" }, this.#origin);
      // What was opened from further down begins above.
      if (this.#loads++ && this.getBoundingClientRect().top < 0) this.scrollIntoView();
    }

    #heard(event) {
      if (!this.#frame || event.source !== this.#frame.contentWindow) return;
      if (event.origin !== this.#origin || !event.data) return;
      const { type, height, state } = event.data;
      if (type === "rowhook:height" && Number.isFinite(height)) {
        this.#frame.style.height = Math.min(Math.max(height, LEAST), MOST) + "px";
      }
      if (type === "rowhook:session" && state !== this.#state && (state === "open" || state === "ended")) {
        this.#state = state;
        const name = state === "open" ? "opened" : "ended";
        this.dispatchEvent(new CustomEvent(name, { bubbles: true }));
      }
    }
  }

  customElements.define("rowhook-portal", RowhookPortal);
})();

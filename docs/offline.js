// A browser starts no worker for a page that was opened from disk. The search then runs in a hidden frame instead.
// Messages are copied, as between a page and a worker: the search changes what it is given.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.documentElement.append(this.frame);
      this.frame.contentWindow.postMessage = (data) => {
        const event = new MessageEvent("message", { data: structuredClone(data) });
        this.onmessage?.(event);
        this.dispatchEvent(event);
      };
      const script = this.frame.contentDocument.createElement("script");
      script.src = new URL(url, document.baseURI).href;
      this.loaded = new Promise((done) => (script.onload = done));
      this.frame.contentDocument.head.append(script);
    }

    postMessage(data) {
      const copy = structuredClone(data);
      this.loaded.then(() => this.frame.contentWindow.onmessage?.({ data: copy }));
    }

    terminate() {
      this.frame.remove();
    }
  };
}

/* Browsers start no worker for a page from the file system: there the script of the search runs in a hidden frame. */
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.documentElement.appendChild(document.createElement("iframe"))
      frame.hidden = true
      const scope = frame.contentWindow
      scope.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      const script = scope.document.createElement("script")
      this.ready = new Promise(loaded => script.onload = loaded)
      script.src = url
      scope.document.body.append(script)
      this.scope = scope
    }

    async postMessage(data) {
      await this.ready
      this.scope.dispatchEvent(new MessageEvent("message", { data }))
    }
  }
}

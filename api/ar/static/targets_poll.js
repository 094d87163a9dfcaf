// Asks the service every ten seconds whether the radiograph may still be shown, and says why where it may not.

const EVERY_MS = 10_000, PATIENCE_MS = 5_000, TRUSTED_MS = 20_000;
const FINAL = {
  401: { title: "Link ended", details: ["Ask for a new one."] },
  404: { title: "Withdrawn", details: ["There is no such radiograph."] },
  410: { title: "Withdrawn", details: ["The radiograph was deleted."] },
};
const AMENDED = { title: "Withdrawn", details: ["Its report was amended."] };
const ASKING = { title: "Asking the service", details: [] };

export class TargetsPoll {
  constructor(address) {
    this.address = address;
    this.why = ASKING;
    this.state = "";
    this.asked = false;
    this.answered = null;
  }

  // Asks, and goes on asking; `told` is called after every answer, and where none came.
  async begin(told) {
    await this.ask();
    this.asked = true;
    told();
    if (!this.ended) setTimeout(() => this.begin(told), EVERY_MS);
  }

  // Returns why the radiograph is covered: a title and details; null while it may be seen.
  cover() {
    if (this.ended || !this.answered) return this.why;
    // A computer that slept may have stopped one of both clocks.
    const age = Math.max(Date.now() - this.answered.date, performance.now() - this.answered.moment);
    return age > TRUSTED_MS ? (this.lost ??= noAnswer(this.answered.date)) : this.why;
  }

  async ask() {
    try {
      const options = { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
      const answer = await fetch(this.address, options);
      if (answer.ok) return this.judge(await answer.json());
      this.ended = FINAL[answer.status];
    } catch {
      // No network, or too slow: as an answer that says nothing.
    }
    this.why = this.ended ?? noAnswer(this.answered?.date);
  }

  judge({ state, produced_at, valid_until }) {
    this.answered = { date: Date.now(), moment: performance.now() };
    this.lost = null;
    this.state = `State: ${state.replace("_", " ")}`;
    // Both are of the service's clock, and of one form.
    const over = valid_until !== null && produced_at > valid_until;
    if (state === "withdrawn") this.why = AMENDED;
    else if (over || state === "stale") this.why = stale(valid_until);
    else this.why = null;
  }
}

function stale(until) {
  const detail = until ? `Valid until ${until.slice(11, 19)} UTC of ${until.slice(0, 10)}.` : "Its time is not known.";
  return { title: "Stale", details: [detail, "The patient may have moved since."] };
}

function noAnswer(since) {
  const last = since ? [`The last one came at ${new Date(since).toISOString().slice(11, 19)} UTC.`] : [];
  return { title: "No answer from the service", details: last };
}

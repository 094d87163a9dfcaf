// Calibrates lengths by an object of known size that the reader marks. The server keeps it for this reader.
import {on} from "./svg.js";

export class Scale {
	constructor(viewer) {
		this.viewer = viewer;
		this.form = viewer.part("calibration");
		this.known = JSON.parse(this.form.dataset.scale);
		on(this.form, "submit", event => {
			event.preventDefault();
			this.#send(event.submitter);
		});
	}

	/** The source is read: lengths hold as it says, or as the reader has calibrated it. */
	begin() {
		this.source = this.viewer.info;
		this.#use();
		if (this.known.ends) this.viewer.marks.show("object", this.known.ends);
	}

	/** Take these ends of the object; its size is still to be typed. */
	marked(ends) {
		this.form.elements.ends.value = ends.flat();
	}

	async #send(button) {
		const {form, viewer} = this;
		const headers = {Accept: "application/json"};
		const body = new URLSearchParams(new FormData(form, button));
		const fault = await fetch(form.action, {method: "POST", body, headers}).then(async answer => {
			const told = await answer.json();
			if (!answer.ok) return told.detail;
			this.known = told;
		}).catch(() => "No connection: send it again.");
		viewer.write({"scale-fault": fault ?? ""});
		if (fault) return;
		form.elements.known.value = this.known.tag;
		this.#use();
		viewer.ai.load();
		viewer.say(`Scale: ${this.known.text || "as the source says"}`);
	}

	#use() {
		const {viewer, known} = this;
		viewer.info = {...this.source, ...known.info};
		viewer.write({scaled: known.text || "Not calibrated by you."});
		viewer.marks.rescale();
	}
}

/** How fast a run is now, and how long it still takes. The first steps are slower and are soon forgotten. */

const recentSeconds = 10;
const recentSteps = 200;

interface TimedStep {
  readonly seconds: number;
  readonly tokens: number;
}

export class Pace {
  readonly #recent: TimedStep[] = [];
  #evaluationSeconds = 0;

  noteStep(seconds: number, tokens: number): void {
    this.#recent.push({ seconds, tokens });
    let total = this.#recent.reduce((sum, step) => sum + step.seconds, 0);
    while (this.#recent.length > 1 && (total > recentSeconds || this.#recent.length > recentSteps)) {
      total -= (this.#recent.shift() as TimedStep).seconds;
    }
  }

  noteEvaluation(seconds: number): void {
    this.#evaluationSeconds = seconds;
  }

  /** A recent average. */
  get tokensPerSecond(): number {
    return this.#sum('tokens') / this.#sum('seconds');
  }

  secondsLeft(step: number, { steps, evaluationInterval }: { steps: number; evaluationInterval: number }): number {
    const evaluations = Math.ceil(steps / evaluationInterval) - Math.floor(step / evaluationInterval);
    const perStep = this.#sum('seconds') / Math.max(1, this.#recent.length);
    return (steps - step) * perStep + evaluations * this.#evaluationSeconds;
  }

  #sum(key: keyof TimedStep): number {
    return this.#recent.reduce((total, step) => total + step[key], 0);
  }
}

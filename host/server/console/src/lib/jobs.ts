import { ApiFailure, get, post } from "./api";
import type { ErrorBody, Job, Part, ReplayReport } from "./types";

/** Waits for a job's end. */
async function finished(job: Job): Promise<Job> {
  while (job.state === "waiting" || job.state === "running") {
    job = await get("/v1/jobs/{id}", { params: { path: { id: job.id }, query: { wait_secs: 30 } } });
  }
  if (job.state === "failed" || job.state === "lost") {
    const error = job.state === "lost" ? "the process that did it has ended" : "it failed";
    throw new ApiFailure(422, (job.error as ErrorBody | null) ?? { error });
  }
  return job;
}

/** Reads a window now. */
export const run = async (part: Part) => finished(await post("/v1/runs", { body: part }));

/** Maps history by a version, and changes nothing. */
export async function compare(part: Omit<Part, "axis"> & { version?: string }): Promise<ReplayReport> {
  const job = await finished(await post("/v1/replays", { body: { ...part, fail_if: [] } }));
  return job.result as unknown as ReplayReport;
}

/** Runs what a subcommand does and keeps its exit code. */
export type CommandAction = (run: () => Promise<number>) => Promise<void>

/**
 * Sends a message to the process that started this one, and waits until it is on its way: a channel that is closed
 * just behind a long message would lose it.
 * @param {unknown} message
 * @returns {Promise<void>}
 */
export const say = (message) =>
  new Promise((resolve) => {
    if (process.send) process.send(message, () => resolve())
    else resolve()
  })

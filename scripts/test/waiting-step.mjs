// A step of a script that takes as long as it is let.

console.log('waiting')
setInterval(() => {}, 1000)

import fs from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { NodeFileSystem } from '#core/storage/node-file-system.js'
import { temporaryDirectory } from '../support/temporary.js'

afterEach(() => {
  vi.restoreAllMocks()
})

const system = new NodeFileSystem()

function created(name = path.join(temporaryDirectory(), 'file')) {
  return { name, file: system.open(name, 'create') }
}

/** Views of 0 to 12 bytes, and all their bytes in one. */
function someViews(count: number): { views: Uint8Array[]; all: Buffer } {
  const views = Array.from({ length: count }, (_, index) => new Uint8Array(index % 13).fill(index % 251))
  return { views, all: Buffer.concat(views) }
}

describe('writing many views', () => {
  it.each([0, 1, 2, 1023, 1024, 1025, 2048, 5000])(
    'writes %d of them one behind the other, in calls of at most 1024',
    (count) => {
      const writev = vi.spyOn(fs, 'writevSync')
      const { name, file } = created()
      const { views, all } = someViews(count)
      file.write(Buffer.from('head'), 0, 4, 0)
      file.writeMany(views, 4)
      file.close()
      expect(fs.readFileSync(name)).toEqual(Buffer.concat([Buffer.from('head'), all]))
      expect(writev.mock.calls.every(([, group]) => group.length <= 1024)).toBe(true)
      expect(writev).toHaveBeenCalledTimes(Math.ceil(count / 1024))
    },
  )

  it('goes on where the system took a part only, wherever that ends', () => {
    const writev = fs.writevSync
    const write = fs.writeSync
    const { views, all } = someViews(30)
    for (let taken = 0; taken <= all.length; taken++) {
      vi.spyOn(fs, 'writevSync').mockImplementation((descriptor, group, position) => {
        const bytes = Buffer.concat(group as Uint8Array[]).subarray(0, taken)
        return writev(descriptor, [bytes], position)
      })
      // And of the rest no more than three bytes a call.
      vi.spyOn(fs, 'writeSync').mockImplementation(((...[descriptor, source, offset, length, position]: number[]) =>
        write(descriptor, source as unknown as Uint8Array, offset, Math.min(length, 3), position)) as never)
      const { name, file } = created()
      file.writeMany(views, 0)
      file.close()
      expect(fs.readFileSync(name), `${taken} bytes taken`).toEqual(all)
      vi.restoreAllMocks()
    }
  })

  it('fails where the system takes nothing and says nothing', () => {
    vi.spyOn(fs, 'writevSync').mockReturnValue(0)
    vi.spyOn(fs, 'writeSync').mockReturnValue(0)
    const { file } = created()
    expect(() => file.writeMany([Buffer.from('ab'), Buffer.from('c')], 0)).toThrow(
      expect.objectContaining({ code: 'EIO' }),
    )
    expect(() => file.write(Buffer.from('ab'), 0, 2, 0)).toThrow(expect.objectContaining({ code: 'EIO' }))
    file.close()
  })
})

describe('the file system', () => {
  it('reads up to the end of the file, in as many calls as it takes', () => {
    const { file } = created()
    file.write(Buffer.from('0123456789'), 0, 10, 0)
    const read = fs.readSync
    vi.spyOn(fs, 'readSync').mockImplementation(((...[descriptor, target, offset, length, position]: number[]) =>
      read(descriptor, target as unknown as Uint8Array, offset, Math.min(length, 3), position)) as never)
    const target = Buffer.alloc(20)
    expect(file.read(target, 5, 15, 2)).toBe(8)
    expect(target.toString('latin1', 5, 13)).toBe('23456789')
    expect(file.read(target, 0, 5, 10)).toBe(0)
    file.close()
  })

  it('creates only what is not there, and opens only what is', () => {
    const { name, file } = created()
    file.close()
    expect(() => system.open(name, 'create')).toThrow(expect.objectContaining({ code: 'EEXIST' }))
    expect(() => system.open(`${name}x`, 'write')).toThrow(expect.objectContaining({ code: 'ENOENT' }))
    expect(() => system.list(`${name}x`)).toThrow(expect.objectContaining({ code: 'ENOENT' }))
    expect(system.exists(`${name}x`)).toBe(false)
  })

  it('syncs the parent of each directory that it makes, and of one that was there, whose maker may have died', () => {
    const top = temporaryDirectory()
    const synced: string[] = []
    vi.spyOn(system, 'syncDirectory').mockImplementation((directory) => {
      synced.push(path.relative(top, directory))
    })
    system.makeDirectory(path.join(top, 'a/b/c'))
    // From the top: none has anything in it before it is durable itself.
    expect(synced).toEqual(['..', '', 'a', 'a/b'])
    synced.length = 0
    system.makeDirectory(path.join(top, 'a/b/d'))
    expect(synced).toEqual(['a', 'a/b'])
    synced.length = 0
    system.makeDirectory(path.join(top, 'a/b/d'))
    expect(synced).toEqual(['a/b'])
  })

  it('makes no directory where the system has none, and goes round in no circle for it', () => {
    const make = vi.spyOn(fs, 'mkdirSync').mockImplementation(() => {
      // What Linux says of a name below /proc, whose parent is there all the same.
      throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' })
    })
    const top = temporaryDirectory()
    expect(() => system.makeDirectory(path.join(top, 'a/b'))).toThrow(expect.objectContaining({ code: 'ENOENT' }))
    expect(make).toHaveBeenCalledTimes(1)
    vi.restoreAllMocks()
    fs.writeFileSync(path.join(top, 'file'), '')
    expect(() => system.makeDirectory(path.join(top, 'file'))).toThrow(expect.objectContaining({ code: 'EEXIST' }))
    expect(() => system.makeDirectory(path.join(top, 'file/a/b'))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }))
    expect(fs.readdirSync(top)).toEqual(['file'])
  })

  it('takes a directory that cannot be synced for one that needs no sync, and no other failure', () => {
    const directory = temporaryDirectory()
    const failWith = (code: string) =>
      vi.spyOn(fs, 'fsyncSync').mockImplementation(() => {
        throw Object.assign(new Error(code), { code })
      })
    failWith('EINVAL')
    system.syncDirectory(directory)
    vi.restoreAllMocks()
    failWith('EIO')
    expect(() => system.syncDirectory(directory)).toThrow('EIO')
  })
})

import { useState } from 'react'

import { useWords } from '../../app/settings'
import { useStable } from '../../app/useStable'
import { useToast } from '../../ui/Toasts'
import { askWords } from './words'

/** As the server has it by default. It has the last word; these save a long upload that it would refuse. */
const MOST = 10
const MEGABYTES = 20

/** The files that go along with the next question. */
export function useFiles() {
  const w = useWords(askWords)
  const toast = useToast()
  const [files, setFiles] = useState<readonly File[]>([])

  const add = useStable((more: readonly File[]) => {
    const large = more.find((file) => file.size > MEGABYTES * 1024 * 1024)
    if (large) toast(w.tooLarge(large.name, MEGABYTES))
    const fitting = more.filter((file) => file.size <= MEGABYTES * 1024 * 1024)
    if (files.length + fitting.length > MOST) toast(w.tooMany(MOST))
    setFiles((before) => [...before, ...fitting].slice(0, MOST))
  })

  return {
    files,
    add,
    remove: (file: File) => setFiles((before) => before.filter((one) => one !== file)),
    clear: () => setFiles([]),
  }
}

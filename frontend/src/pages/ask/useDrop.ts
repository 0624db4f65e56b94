import { useRef, useState, type DragEvent } from 'react'

/** Files that are dropped on an element; `over` while some are held above it. */
export function useDrop(dropped: (files: File[]) => void) {
  const [over, setOver] = useState(false)
  // Entering a child comes before leaving its parent.
  const depth = useRef(0)
  const leave = () => {
    depth.current = 0
    setOver(false)
  }
  return {
    over,
    onDragEnter: (event: DragEvent) => {
      if (!event.dataTransfer.types.includes('Files')) return
      depth.current += 1
      setOver(true)
    },
    onDragLeave: () => {
      depth.current -= 1
      if (depth.current <= 0) leave()
    },
    onDragOver: (event: DragEvent) => {
      if (event.dataTransfer.types.includes('Files')) event.preventDefault()
    },
    onDrop: (event: DragEvent) => {
      leave()
      if (event.dataTransfer.files.length === 0) return
      event.preventDefault()
      dropped([...event.dataTransfer.files])
    },
  }
}

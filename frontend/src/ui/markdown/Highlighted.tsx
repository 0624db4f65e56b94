import './highlight.css'

import { createLowlight } from 'lowlight'
import bash from 'highlight.js/lib/languages/bash'
import cssLanguage from 'highlight.js/lib/languages/css'
import java from 'highlight.js/lib/languages/java'
import javascript from 'highlight.js/lib/languages/javascript'
import json from 'highlight.js/lib/languages/json'
import kotlin from 'highlight.js/lib/languages/kotlin'
import python from 'highlight.js/lib/languages/python'
import sql from 'highlight.js/lib/languages/sql'
import typescript from 'highlight.js/lib/languages/typescript'
import xml from 'highlight.js/lib/languages/xml'
import yaml from 'highlight.js/lib/languages/yaml'
import { toJsxRuntime } from 'hast-util-to-jsx-runtime'
import { useMemo, type ReactNode } from 'react'
import { Fragment, jsx, jsxs } from 'react/jsx-runtime'

const lowlight = createLowlight({
  bash, css: cssLanguage, java, javascript, json, kotlin, python, sql, typescript, xml, yaml,
})

export default function Highlighted({ language, code }: { language: string; code: string }): ReactNode {
  return useMemo((): ReactNode => {
    if (!lowlight.registered(language)) return code
    return toJsxRuntime(lowlight.highlight(language, code), { Fragment, jsx, jsxs }) as ReactNode
  }, [language, code])
}

/** The conch: three whorls and the lip. Drawn by hand; takes the colour of the text. */
export function Mark({ size = 28 }: { size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 32 32"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.7"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d="M28.2 3.4c-1.9 1.3-3.6 2-5.6 2.5C13 8.200 4.300 12.300 4.300 20.200c0 5 3.600 8.400 8.300 8.400 7.900 0 11.400-8.800 13.300-17.200.600-2.800 1.300-5.200 2.300-8Z" />
      <path d="M25.900 11.400c-2-.8-3.500-2.600-3.300-5.500" />
      <path d="M22.800 19.600c-4.300-.9-7.800-4.800-7.600-10.600" />
      <path d="M12.600 28.600c3.700-2.300 4.300-6.100 2.500-8.300-1.600-2-4.500-1.700-5.300.3-.7 1.700.4 3.200 1.900 3.200" />
    </svg>
  )
}

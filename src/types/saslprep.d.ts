declare module 'saslprep' {
  export default function saslprep(text: string): string
}

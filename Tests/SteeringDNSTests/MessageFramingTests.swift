import SteeringDNS
import Testing

@Suite struct MessageFramingTests {
    @Test("messages come out as they went in, however the stream is cut", arguments: [41, 42, 43] as [UInt64])
    func pieces(seed: UInt64) {
        var generator = ZoneGenerator(seed: seed)
        let messages =
            (0..<300).map { _ in
                [UInt8](
                    (0..<generator.pick([0, 1, 12, 40, 255, 256, 5_000])).map { _ in UInt8(generator.number(0...255)) })
            } + [[UInt8](repeating: 1, count: 65_535)]
        let stream = messages.flatMap { [UInt8($0.count >> 8), UInt8($0.count & 255)] + $0 }
        for largest in [1, 3, 100, 65_536] {
            var framing = MessageFraming()
            var read: [[UInt8]] = []
            var position = 0
            while position < stream.count {
                let end = min(stream.count, position + generator.number(1...largest))
                framing.append(stream[position..<end])
                position = end
                while let message = framing.next() { read.append(message) }
                #expect(framing.count < 65_537)
            }
            #expect(read == messages && framing.count == 0)
        }
    }
}

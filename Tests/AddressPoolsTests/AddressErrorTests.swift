import AddressPools
import Testing

@Suite struct AddressErrorTests {
    @Test("a code prints its name") func codeName() {
        #expect("\(AddressError.Code.hostBitsSet)" == "hostBitsSet")
        #expect(AddressError.Code.invalidPort != .invalidPortRange)
    }

    @Test("an error prints its message") func description() throws {
        let error = try #require(throws: AddressError.self) { try IPAddress("nonsense") }
        #expect("\(error)" == error.message)
        #expect(error.message.hasPrefix("\"nonsense\" is not an IP address: "))
    }

    @Test("a hostile text is cut and escaped in the message") func hostileText() {
        let escape = message { try IPAddress("1\u{1B}[31m\n\u{202E}é\"\\") }
        #expect(escape.hasPrefix(#""1\u{1b}[31m\u{a}\u{202e}\u{e9}\"\\" is not"#))

        let long = message { try IPAddress(String(repeating: "9", count: 5_000_000)) }
        #expect(long.hasPrefix("\"" + String(repeating: "9", count: 64) + "\"... is not"))
        #expect(long.utf8.count < 300)
    }

    @Test("a text longer than any valid one is refused with a short message") func longTexts() {
        let long = String(repeating: "1,", count: 1_000_000)
        #expect(code { try IPAddress(long) } == .invalidAddress)
        #expect(code { try IPPrefix(long) } == .invalidPrefix)
        #expect(code { try PortRange(long) } == .invalidPortRange)
        #expect(code { try PortSet(long) } == .invalidPortSet)
        #expect(code { try SocketAddress(long) } == .invalidSocketAddress)
        #expect(message { try PortSet(long) }.utf8.count < 300)
    }

    @Test("a NUL byte or an invalid digit of another script is refused", arguments: ["1.2.3.4\0", "１.2.3.4", "::１"])
    func foreign(text: String) {
        #expect(code { try IPAddress(text) } == .invalidAddress)
    }
}

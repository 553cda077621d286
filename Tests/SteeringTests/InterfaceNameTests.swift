import Steering
import Testing

@Suite
struct InterfaceNameTests {
    @Test(
        "What Linux names interfaces is a name",
        arguments: [
            "lo", "eth0", "enp3s0f1np0", "br-7f2a", "eth0.100", "veth@if3", "a", "...", "123456789012345", "a\"b\\",
        ])
    func allowed(text: String) throws {
        #expect(try InterfaceName(text).name == text)
    }

    @Test(
        "Anything else is refused with the rule",
        arguments: [
            "", ".", "..", "eth 0", "eth/0", "eth0:1", "eth0\n", "\u{1b}[1m", "é", "a\0b", "a\u{a0}b",
            "1234567890123456",
        ])
    func refused(text: String) {
        #expect {
            try InterfaceName(text)
        } throws: { error in
            let error = error as? SteeringError
            return error?.code == .invalidInterfaceName && error!.message.contains("1 to 15")
                && error!.message.unicodeScalars.allSatisfy { (" "..."~").contains($0) }
        }
    }
}

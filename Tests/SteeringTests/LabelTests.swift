import Steering
import Testing

@Suite
struct LabelTests {
    @Test("Letters, digits, dot, underscore and hyphen make a label", arguments: ["a", "7", "web", "a.b_c-d", "A9"])
    func allowed(text: String) throws {
        #expect(try Label(text).name == text)
    }

    @Test(
        "Anything else is refused with the rule",
        arguments: [
            "", " ", "-web", ".web", "_web", "we b", "wéb", "web/", "a\0b", "a\nb", String(repeating: "a", count: 64),
        ])
    func refused(text: String) {
        #expect {
            try Label(text)
        } throws: { error in
            let error = error as? SteeringError
            return error?.code == .invalidLabel && error!.message.contains("1 to 63") && !error!.message.contains("\0")
                && !error!.message.contains("\n")
        }
    }

    @Test("63 characters are a label")
    func longest() throws {
        #expect(try Label(String(repeating: "x", count: 63)).name.utf8.count == 63)
    }
}

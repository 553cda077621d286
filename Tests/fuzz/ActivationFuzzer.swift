// What a client and a server of steerd's protocol read, fed with whatever libFuzzer thinks of. scripts/fuzz compiles it
// with the sources of AddressPools and Steering as one module.

/// Reads bytes as a request and as an answer. What is understood must be understood the same once it is written anew.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: size))
    for count in [0, 1, 253] {
        guard let request = try? ActivationRequest(bytes, descriptors: count) else { continue }
        precondition(request.bytes.count <= ActivationRequest.maximumSize, "a request is too long once it is written")
        let again = try? ActivationRequest(request.bytes, descriptors: count)
        precondition(again == request, "a request is read differently once it is written")
    }
    guard let reply = try? ActivationReply(bytes) else { return 0 }
    precondition((try? ActivationReply(reply.bytes)) == reply, "an answer is read differently once it is written")
    guard case .done(let lines) = reply else { return 0 }
    for line in lines {
        if let socket = try? HeldSocket(line: line) {
            precondition((try? HeldSocket(line: socket.line)) == socket, "a socket's line is read differently")
        }
        if let label = try? LabelHoldings(line: line) {
            precondition((try? LabelHoldings(line: label.line)) == label, "a label's line is read differently")
        }
    }
    return 0
}

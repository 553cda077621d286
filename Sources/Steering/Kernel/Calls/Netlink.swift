import CSteering
import Glibc

/// A netlink socket in the network namespace of the thread that opens it.
struct NetlinkSocket: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor

    init(_ family: CInt) throws(SteeringError) {
        descriptor = OwnedDescriptor(
            owning: try systemCall("socket(AF_NETLINK)") {
                socket(AF_NETLINK, CInt(SOCK_RAW.rawValue) | CInt(SOCK_CLOEXEC.rawValue), family)
            })
    }

    /// Sends a request, and passes the type and payload of each message of the answer to a closure.
    ///
    /// - Returns: Whether the answer is a consistent snapshot. If a table changed during a dump (NLM_F_DUMP_INTR),
    ///   entries may be missing or repeated.
    /// - Throws: `systemCall` with the errno in the kernel's answer.
    @discardableResult
    func request(
        _ type: UInt16, flags: CInt, payload: [UInt8], _ receive: (UInt16, ArraySlice<UInt8>) -> Void
    ) throws(SteeringError) -> Bool {
        var header = nlmsghdr()
        header.nlmsg_len = UInt32(MemoryLayout<nlmsghdr>.size + payload.count)
        header.nlmsg_type = type
        header.nlmsg_flags = UInt16(NLM_F_REQUEST | flags)
        let message = bytes(of: header) + payload
        try systemCall("send(netlink)") { CInt(send(descriptor.rawValue, message, message.count, 0)) }

        var isConsistent = true
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let size = buffer.count
            let received = try systemCall("recv(netlink)") {
                CInt(buffer.withUnsafeMutableBytes { recv(descriptor.rawValue, $0.baseAddress, size, 0) })
            }
            var rest = buffer[..<Int(received)]
            while let header = value(nlmsghdr.self, in: rest), header.nlmsg_len >= MemoryLayout<nlmsghdr>.size,
                Int(header.nlmsg_len) <= rest.count
            {
                let payload = rest.dropFirst(MemoryLayout<nlmsghdr>.size).prefix(
                    Int(header.nlmsg_len) - MemoryLayout<nlmsghdr>.size)
                if CInt(header.nlmsg_flags) & NLM_F_DUMP_INTR != 0 { isConsistent = false }
                switch CInt(header.nlmsg_type) {
                case NLMSG_DONE: return isConsistent
                case NLMSG_ERROR:
                    let error = value(CInt.self, in: payload) ?? -EIO
                    if error < 0 { throw .failed("netlink request \(type)", -error) }
                    return isConsistent
                default: receive(header.nlmsg_type, payload)
                }
                if CInt(header.nlmsg_flags) & NLM_F_MULTI == 0, flags & NLM_F_ACK == 0 { return isConsistent }
                rest = rest.dropFirst((Int(header.nlmsg_len) + 3) & ~3)
            }
        }
    }
}

extension NetlinkSocket {
    /// Makes the kernel apply all filters of a dump request, not only the family (NETLINK_GET_STRICT_CHK).
    func checkStrictly() {
        var one: CInt = 1
        setsockopt(descriptor.rawValue, 270 /* SOL_NETLINK */, 12 /* NETLINK_GET_STRICT_CHK */, &one, 4)
    }

    /// Dumps a table, up to three times if it changes in the meantime; the last result may be inconsistent.
    func dump<Element>(
        _ type: UInt16, _ payload: [UInt8], _ read: (UInt16, ArraySlice<UInt8>) -> Element?
    ) throws(SteeringError) -> [Element] {
        var found: [Element] = []
        for _ in 0..<3 {
            found = []
            let isConsistent = try request(type, flags: NLM_F_DUMP, payload: payload) { type, payload in
                if let element = read(type, payload) { found.append(element) }
            }
            if isConsistent { break }
        }
        return found
    }
}

/// Passes the type and content of each attribute of a netlink message to a closure.
func forEachAttribute(in bytes: ArraySlice<UInt8>, _ body: (UInt16, ArraySlice<UInt8>) -> Void) {
    var rest = bytes
    while let header = value(rtattr.self, in: rest), Int(header.rta_len) >= MemoryLayout<rtattr>.size,
        Int(header.rta_len) <= rest.count
    {
        // The two highest bits are flags.
        body(header.rta_type & 0x3fff, rest.prefix(Int(header.rta_len)).dropFirst(MemoryLayout<rtattr>.size))
        rest = rest.dropFirst((Int(header.rta_len) + 3) & ~3)
    }
}

/// Returns an encoded netlink attribute.
func attribute(_ type: Int, _ content: [UInt8]) -> [UInt8] {
    var header = rtattr()
    header.rta_type = UInt16(type)
    header.rta_len = UInt16(MemoryLayout<rtattr>.size + content.count)
    return bytes(of: header) + content + [UInt8](repeating: 0, count: -content.count & 3)
}

/// Returns the bytes of a C value.
func bytes<T: BitwiseCopyable>(of value: T) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

/// Returns the C value at the beginning of the bytes; nil if there are too few.
func value<T: BitwiseCopyable>(_ type: T.Type, in bytes: ArraySlice<UInt8>) -> T? {
    guard bytes.count >= MemoryLayout<T>.size else { return nil }
    return bytes.withUnsafeBytes { $0.loadUnaligned(as: T.self) }
}

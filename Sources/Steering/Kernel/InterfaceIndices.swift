import CSteering
import Glibc

/// The interfaces of one network namespace, by name, whichever namespace the caller is in.
struct InterfaceIndices: Sendable {
    /// Of the namespace: sockets stay in the one that they were made in.
    private let socket: SharedDescriptor

    /// - Throws: As ``NetworkNamespace/run(_:)``.
    init(_ namespace: borrowing NetworkNamespace) throws(SteeringError) {
        socket = try namespace.run { () throws(SteeringError) in
            let made = Glibc.socket(AF_INET, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            return SharedDescriptor(OwnedDescriptor(owning: try call("socket", made)))
        }
    }

    /// The number of an interface.
    ///
    /// - Throws: `unknownInterface`.
    func index(_ name: InterfaceName) throws(SteeringError) -> UInt32 {
        let index = csteering_interface_index(socket.rawValue, name.name)
        if index == -ENODEV { throw .unknownInterface(name) }
        return UInt32(try call("SIOCGIFINDEX", index))
    }
}

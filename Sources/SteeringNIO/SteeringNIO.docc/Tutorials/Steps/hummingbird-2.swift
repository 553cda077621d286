import Hummingbird
import Steering
import SteeringNIO

/// A request context with the original destination: the address and port to which the client connected.
struct SteeredContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let asked: Steering.SocketAddress?

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        asked = source.channel.originalDestination
    }
}

@main
struct HummingbirdServer {
    static func main() async throws {
        let router = Router(context: SteeredContext.self)
        router.get("/") { _, context in context.asked.map { "you asked \($0)\n" } ?? "" }
        let server = Application(router: router, configuration: .init(address: .hostname("127.0.0.1", port: 8080)))
        try await server.runService()
    }
}

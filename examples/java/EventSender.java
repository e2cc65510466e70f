import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.util.Base64;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Sends events as the vendor's Java clients do, with nothing but a JDK 17 or newer.
 *
 * <pre>
 * javac -d out examples/java/EventSender.java
 * java -cp out EventSender http://127.0.0.1:8080/event SHOP APP_KEY ORDER PLACED '{"order":1}'
 * </pre>
 *
 * Ends with 0 when the centre has the event (status 1), with 1 otherwise.
 */
public final class EventSender {
    private static final Duration TIMEOUT = Duration.ofSeconds(20);
    private static final int ATTEMPTS = 5;

    private final HttpClient http = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
    private final URI endpoint;
    private final String appId;
    private final byte[] key;
    private final String algorithm;

    /**
     * @param context where the centre is, such as {@code http://127.0.0.1:8080/event}
     * @param appId the node code
     * @param appKey the node's key, in Base64
     * @param algorithm {@code HmacSHA1} unless the node is registered with another
     */
    public EventSender(String context, String appId, String appKey, String algorithm) {
        this.endpoint = URI.create(context + "/eventmanager/sendEventMsg.do");
        this.appId = appId;
        this.key = Base64.getDecoder().decode(appKey);
        this.algorithm = algorithm;
    }

    /**
     * Sends an event and repeats it while the centre cannot say whether it has it (503) or asks for patience (429).
     * The fields keep their {@code uuid}, so a repeat is not delivered twice.
     *
     * @return the JSON answer, {@code {"data":{"status":1,…}}}
     */
    public String send(Map<String, String> fields) throws IOException, InterruptedException, GeneralSecurityException {
        for (int attempt = 1; ; attempt++) {
            HttpResponse<String> answer = sendOnce(fields);
            boolean unknown = answer.statusCode() == 503 || answer.statusCode() == 429;
            if (!unknown || attempt == ATTEMPTS) {
                return answer.body();
            }
            long seconds = answer.headers().firstValueAsLong("retry-after").orElse(attempt);
            Thread.sleep(seconds * 1000);
        }
    }

    private HttpResponse<String> sendOnce(Map<String, String> fields)
            throws IOException, InterruptedException, GeneralSecurityException {
        String ts = Long.toString(System.currentTimeMillis());
        byte[] body = fields.entrySet().stream()
                .map(field -> encode(field.getKey()) + "=" + encode(field.getValue()))
                .collect(Collectors.joining("&"))
                .getBytes(StandardCharsets.UTF_8);
        HttpRequest request = HttpRequest.newBuilder(URI.create(endpoint + "?appId=" + encode(appId) + "&ts=" + ts))
                .timeout(TIMEOUT)
                .header("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
                .header("sign", sign(ts, fields, body.length))
                .POST(HttpRequest.BodyPublishers.ofByteArray(body))
                .build();
        return http.send(request, HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8));
    }

    /** The signature for a request whose query is just {@code appId} and {@code ts}; appId is not signed. */
    private String sign(String ts, Map<String, String> fields, int contentLength) throws GeneralSecurityException {
        String params = fields.entrySet().stream()
                .map(field -> field.getKey() + field.getValue())
                .sorted()
                .collect(Collectors.joining());
        String text = "SignProp{ts=" + ts + ", remoteUserName='null', queryString='ts" + ts + "', requestUrl='"
                + endpoint.getRawPath() + "', ip='null', contentLength='" + contentLength + "', paramsStr='" + params + "'}";
        Mac mac = Mac.getInstance(algorithm);
        mac.init(new SecretKeySpec(key, algorithm));
        return HexFormat.of().formatHex(mac.doFinal(text.getBytes(StandardCharsets.UTF_8)));
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 6) {
            System.err.println("usage: EventSender CONTEXT APP_ID APP_KEY SOURCE_ID EVENT_TYPE USER_OBJECT");
            System.exit(2);
        }
        Map<String, String> fields = new LinkedHashMap<>();
        fields.put("sourceID", args[3]);
        fields.put("eventType", args[4]);
        fields.put("userObject", args[5]);
        fields.put("uuid", UUID.randomUUID().toString());
        String answer = new EventSender(args[0], args[1], args[2], "HmacSHA1").send(fields);
        System.out.println(answer);
        System.exit(answer.matches(".*\"status\"\\s*:\\s*1\\b.*") ? 0 : 1);
    }
}

// Debezium's embedded engine with an HTTP POST for each event. A batch is marked as finished once each of its events has been
// answered.
//
// DATABASE_PORT, DATABASE, SLOT and PUBLICATION name the source, and TARGET the URL to post to.

import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;

public class Debezium {
    /** Requests in flight, as many as for a hook of rowhook by default. */
    static final int AT_ONCE = 16;

    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        URI target = URI.create(System.getenv("TARGET"));
        Semaphore free = new Semaphore(AT_ONCE);
        DebeziumEngine.ChangeConsumer<ChangeEvent<String, String>> post = (events, committer) -> {
            List<CompletableFuture<Void>> going = new ArrayList<>();
            for (ChangeEvent<String, String> event : events) {
                free.acquire();
                HttpRequest request = HttpRequest.newBuilder(target)
                        .header("content-type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(event.value()))
                        .build();
                going.add(client.sendAsync(request, HttpResponse.BodyHandlers.discarding())
                        .whenComplete((answer, error) -> free.release())
                        .thenAccept(answer -> {
                            if (answer.statusCode() / 100 != 2) {
                                throw new IllegalStateException("answered " + answer.statusCode());
                            }
                        }));
            }
            for (int number = 0; number < going.size(); number++) {
                going.get(number).join();
                committer.markProcessed(events.get(number));
            }
            committer.markBatchFinished();
        };
        DebeziumEngine.create(Json.class).using(properties()).notifying(post).build().run();
    }

    static Properties properties() {
        Properties properties = new Properties();
        String[][] all = {
            {"name", "bench"},
            {"connector.class", "io.debezium.connector.postgresql.PostgresConnector"},
            {"database.hostname", "127.0.0.1"},
            {"database.port", System.getenv("DATABASE_PORT")},
            {"database.user", "postgres"},
            {"database.password", "postgres"},
            {"database.dbname", System.getenv("DATABASE")},
            {"topic.prefix", "bench"},
            {"plugin.name", "pgoutput"},
            {"slot.name", System.getenv("SLOT")},
            {"publication.name", System.getenv("PUBLICATION")},
            {"publication.autocreate.mode", "disabled"},
            {"table.include.list", "public.book"},
            {"snapshot.mode", "no_data"},
            {"offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore"},
            {"offset.flush.interval.ms", "1000"},
            {"converter.schemas.enable", "false"},
        };
        for (String[] property : all) {
            properties.setProperty(property[0], property[1]);
        }
        return properties;
    }
}

// Written by `meshport generate`, which replaces this file.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Net;
using System.Net.Http;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Avro.IO;
using Avro.Specific;
using Confluent.Kafka;
using Newtonsoft.Json.Linq;

__OPEN__
/// <summary>One event, with its position in Kafka. The data of a tombstone is null; so is an attribute that an event does not have.</summary>
public sealed class __PORT__Event
{
    public string Id { get; set; }
    public string Source { get; set; }
    public string Type { get; set; }
    public DateTimeOffset Time { get; set; }
    public DateTimeOffset? RecordedTime { get; set; }
    public string Subject { get; set; }
    public Dictionary<string, string> Extensions { get; set; }
    public string Key { get; set; }
    public __ROOT__ Data { get; set; }
    public TopicPartitionOffset Position { get; set; }
}

/// <summary>The port __ADDRESS__: reads its events, and publishes to it. Threads may share one.</summary>
public sealed class __PORT__
{
    /// <summary>The port, at the major line of these types.</summary>
    public const string Address = "__ADDRESS__";

    private const string Fingerprint = "__FINGERPRINT__";
    private static readonly Avro.Schema Contract = new __ROOT__().Schema;

    private readonly Uri registry;
    private readonly HttpClient http;
    private readonly ConcurrentDictionary<int, SpecificDatumReader<__ROOT__>> readers =
        new ConcurrentDictionary<int, SpecificDatumReader<__ROOT__>>();
    private string type;
    private int schemaId;

    private __PORT__(Uri registry, HttpClient http)
    {
        this.registry = registry;
        this.http = http;
    }

    /// <summary>The topic of the events.</summary>
    public string Topic { get; private set; }

    /// <summary>The servers that the registry names.</summary>
    public string BootstrapServers { get; private set; }

    /// <summary>Resolves the address at a registry; the client has the headers of a login, such as Authorization.</summary>
    public static async Task<__PORT__> Open(Uri registry, HttpClient http)
    {
        var port = new __PORT__(registry, http);
        JToken binding = await port.Ask("/api/v1/resolve/__PATH__?major=__MAJOR__").ConfigureAwait(false);
        port.Topic = (string)binding["topic"];
        port.type = (string)binding["type"];
        port.BootstrapServers = (string)binding["bootstrap_servers"];
        port.schemaId = (int)binding["schema_id"];
        if ((string)binding["fingerprint"] != Fingerprint)
        {
            // The contract has a newer version: these types are of an earlier one, which keeps its own id.
            JToken ids = await port.Ask("/schemas/guids/__GUID__/ids").ConfigureAwait(false);
            port.schemaId = (int)ids[0]["id"];
        }
        return port;
    }

    /// <summary>Gives each event to a function, one after another, until it is cancelled.</summary>
    public async Task Subscribe(
        IConsumer<string, byte[]> consumer, Func<__PORT__Event, Task> handle, CancellationToken cancelled)
    {
        consumer.Subscribe(Topic);
        while (!cancelled.IsCancellationRequested)
        {
            ConsumeResult<string, byte[]> message = consumer.Consume(cancelled);
            await handle(await Decode(message).ConfigureAwait(false)).ConfigureAwait(false);
        }
    }

    /// <summary>Returns the event of a message.</summary>
    public async Task<__PORT__Event> Decode(ConsumeResult<string, byte[]> message)
    {
        var given = new Dictionary<string, string>();
        foreach (IHeader each in message.Message.Headers)
        {
            byte[] bytes = each.GetValueBytes();
            if (each.Key.StartsWith("ce_", StringComparison.Ordinal) && bytes != null && !given.ContainsKey(each.Key.Substring(3)))
            {
                given[each.Key.Substring(3)] = Encoding.UTF8.GetString(bytes);
            }
        }
        string time = Take(given, "time");
        string recorded = Take(given, "recordedtime");
        Take(given, "specversion");
        Take(given, "dataschema");
        return new __PORT__Event
        {
            Id = Take(given, "id") ?? $"{message.Topic}-{message.Partition.Value}-{message.Offset.Value}",
            Source = Take(given, "source") ?? Address,
            Type = Take(given, "type") ?? type,
            Time = time != null ? Instant(time) : message.Message.Timestamp.UtcDateTime,
            RecordedTime = recorded != null ? Instant(recorded) : (DateTimeOffset?)null,
            Subject = Take(given, "subject"),
            Extensions = given,
            Key = message.Message.Key,
            Data = message.Message.Value == null ? null : await Read(message.Message.Value).ConfigureAwait(false),
            Position = message.TopicPartitionOffset,
        };
    }

    private async Task<__ROOT__> Read(byte[] value)
    {
        if (value.Length < 5 || value[0] != 0)
        {
            throw new InvalidDataException("the value is not in Confluent's wire format");
        }
        int id = IPAddress.NetworkToHostOrder(BitConverter.ToInt32(value, 1));
        SpecificDatumReader<__ROOT__> reader;
        if (!readers.TryGetValue(id, out reader))
        {
            JToken writer = await Ask($"/schemas/ids/{id}").ConfigureAwait(false);
            reader = new SpecificDatumReader<__ROOT__>(Avro.Schema.Parse((string)writer["schema"]), Contract);
            readers[id] = reader;
        }
        return reader.Read(null, new BinaryDecoder(new MemoryStream(value, 5, value.Length - 5)));
    }
__PUBLISHER__
    private async Task<JToken> Ask(string path)
    {
        string url = registry.ToString().TrimEnd('/') + path;
        using (HttpResponseMessage response = await http.GetAsync(url).ConfigureAwait(false))
        {
            string body = await response.Content.ReadAsStringAsync().ConfigureAwait(false);
            if (!response.IsSuccessStatusCode)
            {
                throw new HttpRequestException($"{url}: {(int)response.StatusCode} {body}");
            }
            return JToken.Parse(body);
        }
    }

    private static string Take(Dictionary<string, string> given, string name)
    {
        string found;
        given.TryGetValue(name, out found);
        given.Remove(name);
        return found;
    }

    private static DateTimeOffset Instant(string text)
    {
        return DateTimeOffset.Parse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal);
    }
}
__CLOSE__

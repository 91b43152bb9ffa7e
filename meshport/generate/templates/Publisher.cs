
    /// <summary>Sends an event with a new id, and waits until it is stored.</summary>
    public Task<DeliveryResult<string, byte[]>> Publish(IProducer<string, byte[]> producer, __ROOT__ data)
    {
        return producer.ProduceAsync(Topic, Encode(data, Guid.NewGuid().ToString(), new Dictionary<string, string>()));
    }

    /// <summary>
    /// Returns the message of an event. The id has to be the same whenever the same fact is published again; the extensions are
    /// further attributes by name, such as subject or traceparent.
    /// </summary>
    public Message<string, byte[]> Encode(__ROOT__ data, string id, IDictionary<string, string> extensions)
    {
        var value = new MemoryStream();
        value.WriteByte(0);
        value.Write(BitConverter.GetBytes(IPAddress.HostToNetworkOrder(schemaId)), 0, 4);
        new SpecificDatumWriter<__ROOT__>(Contract).Write(data, new BinaryEncoder(value));
        var headers = new Headers();
        Action<string, string> add = (name, text) => headers.Add(name, Encoding.UTF8.GetBytes(text));
        add("ce_specversion", "1.0");
        add("ce_source", Address);
        add("ce_type", type);
        add("ce_dataschema", "urn:meshport:schema:" + Fingerprint);
        add("content-type", "application/avro");
        add("ce_id", id);
        add("ce_time", Text(__TIME__));
        add("ce_recordedtime", Text(DateTime.UtcNow));
        foreach (KeyValuePair<string, string> each in extensions)
        {
            add("ce_" + each.Key, each.Value);
        }
        return new Message<string, byte[]> { Key = __KEY__, Value = value.ToArray(), Headers = headers };
    }

    private static string Text(DateTime moment)
    {
        return moment.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'", CultureInfo.InvariantCulture);
    }
__KEY_TEXT__

// Writes a record with Confluent's JavaScript serializer, and reads it back: client.mjs URL TOPIC SCHEMA, the login in USER_INFO.
// Prints {"written": hex, "read": {...}}, or {"refused": [status, error code]}.
import registry from '@confluentinc/schemaregistry';

const { AvroDeserializer, AvroSerializer, SchemaRegistryClient, SerdeType } = registry;
const [url, topic, schema] = process.argv.slice(2);
const client = new SchemaRegistryClient({
  baseURLs: [url],
  basicAuthCredentials: { credentialsSource: 'USER_INFO', userInfo: process.env.USER_INFO },
});
try {
  await client.register(`${topic}-value`, { schemaType: 'AVRO', schema });
  const serializer = new AvroSerializer(client, SerdeType.VALUE, { useLatestVersion: true });
  const deserializer = new AvroDeserializer(client, SerdeType.VALUE, {});
  const value = await serializer.serialize(topic, { id: '1' });
  const read = await deserializer.deserialize(topic, value);
  console.log(JSON.stringify({ written: value.toString('hex'), read }));
} catch (error) {
  if (error.status === undefined) throw error;
  console.log(JSON.stringify({ refused: [error.status, error.errorCode] }));
}

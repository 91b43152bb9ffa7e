// Reads so many shipments, shows each as a line of JSON, and publishes them again.
import { Kafka, logLevel } from "kafkajs";

import { __PORT__, type Event } from "./__FILE__.js";

const [url, count] = process.argv.slice(2) as [string, string];
const port = await __PORT__.open({ url });
const kafka = new Kafka({ brokers: port.binding.bootstrap_servers.split(","), logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: `typescript-${process.pid}-${Date.now()}` });
const events: Event[] = [];
await consumer.connect();
const all = new Promise<void>((resolve, reject) => {
  consumer.on("consumer.crash", ({ payload }) => reject(payload.error));
  port
    .subscribe(consumer, (event) => void (events.push(event) === Number(count) && resolve()), { fromBeginning: true })
    .catch(reject);
});
await all;
await consumer.disconnect();
for (const { data, ...event } of events) {
  console.log(JSON.stringify({ ...event, customer: data?.customer, price: data?.price, due: data?.due }));
}
const producer = kafka.producer();
await producer.connect();
await port.publish(producer, ...events.flatMap(({ data }) => (data === null ? [] : [data])));
await producer.disconnect();
console.log("reading on");
const further = kafka.consumer({ groupId: `typescript-${process.pid}-${Date.now()}` });
await further.connect();
await port.subscribe(further, () => {}, { onReplaced: (error) => console.log(error.message) });

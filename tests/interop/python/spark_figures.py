"""What Apache Spark finds in an Iceberg table: `python spark_figures.py JARS METADATA QUERY`, of a temporary view `events`."""

import json
import sys

from pyspark.sql import SparkSession

jars, metadata, query = sys.argv[1:]
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.jars", jars)
    .config("spark.ui.enabled", "false")
    .config("spark.sql.session.timeZone", "UTC")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
spark.read.format("iceberg").load(metadata).createOrReplaceTempView("events")
sys.stdout.write(json.dumps([each.asDict() for each in spark.sql(query).collect()]) + "\n")

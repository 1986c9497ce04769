"""Puts the files of a folder into a bucket. The AWS_* variables say where the store is.

usage: upload.py FOLDER BUCKET PREFIX
"""

import os
import sys

import boto3


def main():
    folder, bucket, prefix = sys.argv[1:]
    s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name=os.environ["AWS_REGION"])
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as body:
                s3.put_object(Bucket=bucket, Key=f"{prefix}/{os.path.relpath(path, folder)}", Body=body)


main()

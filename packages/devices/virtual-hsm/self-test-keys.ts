// Keys of the self tests: public, used for nothing else, made with OpenSSL 3.5.

/** PKCS#8, base64. */
export const RSA_KEY =
  "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDeJkfvnnGVPGTNziqySbg65nb1j/MY28rOBrG3dBrSn389x0gUNfyRzdGNbx" +
  "1puweIJ5k2qfPNH+qiZjEEVISSB8E0DIDfmhazZYfOYe4fkG7PqNHzRdlIsjV/exMtRxKpH/zkTeub/0o3IalKfduZ00+vKlWXiqQAVfuvmF3T" +
  "dZ6cvvcAeI4FDRZ98IIlcSHBAc23XMLWKx4OuzojRNZrYGyIjMPXRy4Kyr3PUxU7vLZxwYKImOQHEo3G158eH7vpaZ0i+zXdToh/4fRHe4/rRS" +
  "bL4MsLgbdcnTHFuqt5OtuvgJtorarXB3b9nsCvRPKeXSLUcswYdKvhkg37SktXAgMBAAECggEAEHQ+ahxOu70u7Dgj3R5tDl5z8N6kz10MPvQA" +
  "+skXPtgrI7Icf8ll4o4fl3247H66tpYpmNfADpvuvvDvGtaAa+k2IWWhsAN+QJ25uuAcXpXN7K9LlFzClMoFALhmzw46GXEcmUkU3/I/QX51Rx" +
  "FeZXI2LzplVOWjHcFAn0dw/6X4Z5nBagmWm22tQ6F/djY5MJinaJqtMiM/2n8qDMYPz0daR2TyfLYyjeRE/1+3igq6mZkQLVYg1MbCcwKYo1my" +
  "kjUZ1doZ4pweA9lF/BbUC09R4YdrywAWlD7SPYbaMN0WatCLEk/nw4k9xRvV8z6Oi8nfBBUQ9f+FqTm6b2mEHQKBgQD6Mfqquza4HM/vQglhvg" +
  "thRuBzz5TOrQwRjrnF5kebES15Z/j09osQHs6Bid+qN0spAtdhqVm58TWgHU1wMmGvbkToguVTslESb30ILXcU790oYY/uuUhASwLprynoQdSR" +
  "Xmbiqgr0KU3CramODEp1obmRBjwmMe1BQMx9JrqvuwKBgQDjTbnYoGf+KcKJG9C+PP63JKQfw/ejvqMP0X557a7AxVP+9nZ5bwEDnAshiwTQI1" +
  "NBdJfH4bNWenlSBILByDAbqDU4GqlD83Tl2C18UkyMhN3hRtDf2ZnUyNaG5ghcf1QdsBfEfs5Xdn/cW3m8DPJcKl4JJ45yMjNMqx+AlF0TFQKB" +
  "gQDfUrFOqCElogIwrB83sazyvZMnjIhlGq2FFoLYFL6huWl/zsC310E1uGnX0rtkckqSZsjdkY5XnOii7MTseuwa7TBw4jXUyXv4Gq/eFscOVz" +
  "RvEPaqvZOyX8JP2FxtxiT5ROxNMj7oxd11AhIwiuQDr8G1o30ZEsOV1UMyCtnkdQKBgGm7XQiUTOtgV3pZsvba/o0IgUO5b3b+lXElPNTQp+pJ" +
  "n/HIiYGhDfK04kSfGwUKeY7IAlZa+YXvgIGTUZN8YExtKRxI4pWWKLlFnprm2W6/20oQG9cUrEbbiVbEp/0GyYTpxZSEe80ZdQ52iqDb0NzoZE" +
  "eT2+Ho0g4Gx6eS29ylAoGBAOG+CaPAfoMhDf4Pzrm/1h2Hzof3AIWySE3R9nltY+KDlM3BkaMSwHw1SOsdJ0BV0u90QxEuAMH2ZW7u5svc55Av" +
  "ccUrzhl8eNJpD/gdwSYfJj8Af6MQWX8LmZcDbYMm0cnTpXUiC/OcPopOQG+QwLd24tkN+6V9BhFjrp8c593g";

/** RSASSA-PKCS1-v1_5 with SHA-256 over the self test's message, base64. */
export const RSA_SIGNATURE =
  "QiaaWdnZqsQ9BknyPXSpiCVyGHPmmzX/d8fYP9lhd8cQZGriE+DTVp+P7Ov54wEd51Jk8+sRSP1PVmwPlJvGoa3Daz4IfGj8GHCEr2wQS+4jVg" +
  "HDf0E05l6/fvxIVmi2bMa4QpYonNOK4k3S4fQdcRTIxFJSV+md+jSVL+knLJfA7lla1Y4qIP/Z8UzDxWfLC60RyGZfnik2z//nTYDyk0sBwUzm" +
  "03/BTQrFNXUOxOJdW1THqOo1JV48rNA0uM9Q98dCjAfhmVunKBT3ujy4b03BdwEoeAmM2CMY28tB5A9OQnK5yMWUYDIjdaXdQAiB/k0bQVRwnI" +
  "n6o2RLAI5q+A==";

/** SK.seed, SK.prf, PK.seed, PK.root of SLH-DSA-SHA2-128f, hexadecimal. */
export const SLH_DSA_KEY =
  "8ddec957de7b11eb6b5d47c0f894a7c89d356749da9b2966d339c368ba1cf05997bdb18c5c43579c6fc3131464d77606cd19c3c21a8bd2" +
  "aedb8d5eb0dc73c971";

"""Formats of well-known competitions, by name."""

KNOWN = {
    "default": "columns=image_name,class,rle",
    "airbus": "columns=ImageId,EncodedPixels order=F objects",
    "carvana": "columns=img,rle_mask",
    "clouds": "columns=Image_Label,EncodedPixels key={image}_{class} order=F",
    "contrails": "columns=record_id,encoded_pixels order=F empty=-",
    "dsb2018": "columns=ImageId,EncodedPixels key={stem} order=F objects",
    "hubmap": "columns=id,predicted key={stem} order=F",
    "sartorius": "columns=id,predicted key={stem} objects",
    "severstal": "columns=ImageId_ClassId,EncodedPixels key={image}_{class} order=F",
    "siim": "columns=ImageId,EncodedPixels key={stem} order=F start=0 relative empty=-1",
    "tgs": "columns=id,rle_mask key={stem} order=F",
    "uw-madison": "columns=id,class,predicted key={stem}",
    "vesuvius": "columns=Id,predicted",
    "litter": "labels size=256,256 first=0",
    "kelp": "files suffix=.tif",
    "coco-list": "coco counts=list",
}
"""{name: line that segkit.submission.parse reads}."""
